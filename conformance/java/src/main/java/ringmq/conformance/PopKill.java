package ringmq.conformance;

import java.io.File;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.message.Message;

/**
 * Kills in mode POP: a consumer that has messages and acknowledges none is killed (SIGKILL, a
 * process of its own), then the broker is, under a consumer that goes on. What the dead one had
 * comes to the other; nothing is lost; duplicates are counted.
 */
final class PopKill implements Scenario {
    private static final long INVISIBLE_MS = 10_000;
    private static final int OF_EACH_PART = 200;
    private static final String MAKER = Kit.AGAINST_RINGMQ ? "ringmq" : "apache";

    @Override
    public void run(Kit kit) throws Exception {
        DefaultMQProducer producer = kit.producer();
        producer.setRetryTimesWhenSendFailed(5);
        kit.createTopic(producer);
        PopKit.popMode(producer, kit.topic, kit.group);
        File marks = File.createTempFile("pop-victim", ".txt");
        Process victim = Victim.start(kit, marks);
        try {
            Received received = new Received();
            Set<String> sent = send(producer, kit.topic, "a");
            Check.within(60_000, "the victim has messages", () -> marks.length() > 20);
            DefaultMQPushConsumer consumer = kit.pushConsumer(kit.group);
            PopKit.byServer(consumer, INVISIBLE_MS);
            consumer.subscribe(kit.topic, "*");
            consumer.registerMessageListener(received.listener("one"));
            consumer.start();
            sent.addAll(send(producer, kit.topic, "b"));
            long had = marks.length();
            victim.destroyForcibly().waitFor(30, TimeUnit.SECONDS);
            Check.within(120_000, "what the victim had", () ->
                sent.stream().allMatch(received::has));
            int afterVictim = received.duplicates();
            // The group's place is saved every 5 s: what was acknowledged before is done with.
            Thread.sleep(8_000);
            sent.addAll(send(producer, kit.topic, "c"));
            Runner.ask("kill-broker");
            Runner.ask("start-broker " + MAKER);
            sent.addAll(send(producer, kit.topic, "d"));
            Check.within(120_000, "everything after the broker's kill", () ->
                sent.stream().allMatch(received::has));
            // What was acknowledged just before the kill may come until its time is over.
            Thread.sleep(2 * INVISIBLE_MS);
            received.exactly(sent);
            Runner.note(sent.size() + " messages, the victim had marked " + had + " bytes; "
                + afterVictim + " duplicates before the broker's kill, "
                + (received.duplicates() - afterVictim) + " by it");
            Check.that(received.duplicates() <= 2 * OF_EACH_PART,
                "more duplicates than what was sent since the last save");
        } finally {
            victim.destroyForcibly();
            marks.delete();
        }
    }

    private static Set<String> send(DefaultMQProducer producer, String topic, String prefix)
        throws Exception {
        Set<String> ids = new HashSet<>();
        for (int i = 0; i < OF_EACH_PART; i++) {
            Message message = new Message(topic, "t", ("body " + prefix + i).getBytes());
            message.putUserProperty(Received.ID, prefix + i);
            producer.send(message);
            ids.add(prefix + i);
        }
        return ids;
    }

    /** A consumer in a process of its own that takes messages and is done with none. */
    static final class Victim implements Scenario {
        private static final String MARKS = "conformance.marks";

        static Process start(Kit kit, File marks) throws Exception {
            List<String> command = new ArrayList<>();
            command.add(System.getProperty("java.home") + "/bin/java");
            for (String name : System.getProperties().stringPropertyNames()) {
                boolean isOurs = name.startsWith("conformance.") || name.startsWith("rocketmq.")
                    || name.equals("user.home");
                if (isOurs) {
                    command.add("-D" + name + "=" + System.getProperty(name));
                }
            }
            command.add("-D" + MARKS + "=" + marks.getPath());
            command.addAll(List.of("-cp", System.getProperty("java.class.path"),
                Main.class.getName(), "pop-victim", kit.namesrv(), kit.run()));
            File nowhere = new File("/dev/null");
            return new ProcessBuilder(command).redirectOutput(nowhere).redirectError(nowhere)
                .start();
        }

        @Override
        public void run(Kit kit) throws Exception {
            File marks = new File(System.getProperty(MARKS));
            DefaultMQPushConsumer consumer = kit.pushConsumer(kit.group);
            consumer.setInstanceName("victim-" + kit.run());
            PopKit.byServer(consumer, INVISIBLE_MS);
            consumer.subscribe(kit.topic, "*");
            consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
                Kit.append(marks, "m".repeat(messages.size()));
                try {
                    Thread.sleep(600_000);
                } catch (InterruptedException e) {
                    Thread.currentThread().interrupt();
                }
                return ConsumeConcurrentlyStatus.RECONSUME_LATER;
            });
            consumer.setPullBatchSize(32);
            consumer.setConsumeMessageBatchMaxSize(32);
            consumer.start();
            Thread.sleep(600_000);
        }
    }
}

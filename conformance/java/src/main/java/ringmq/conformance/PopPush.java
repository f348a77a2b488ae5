package ringmq.conformance;

import java.util.HashSet;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.message.Message;

/**
 * A push consumer that the broker balances, in mode POP: two consumers share the queues, what fails
 * comes again, a consumer that leaves costs nothing, and neither does a broker that is restarted in
 * the middle. Nothing is lost; duplicates are counted.
 */
final class PopPush implements Scenario {
    private static final long INVISIBLE_MS = 10_000;
    private static final int OF_EACH_PART = 200;

    private final Set<String> failedOnce = ConcurrentHashMap.newKeySet();

    @Override
    public void run(Kit kit) throws Exception {
        DefaultMQProducer producer = kit.producer();
        producer.setRetryTimesWhenSendFailed(5);
        kit.createTopic(producer);
        PopKit.popMode(producer, kit.topic, kit.group);
        Received received = new Received();
        DefaultMQPushConsumer first = start(kit, "one", received);
        start(kit, "two", received);
        Set<String> sent = send(producer, kit.topic, "a");
        Check.within(120_000, "the first part, with what failed once", () ->
            sent.stream().allMatch(received::has));
        Check.that(received.of("one") > 0 && received.of("two") > 0, "one consumer had nothing");
        first.shutdown();
        Runner.ask("restart-broker");
        sent.addAll(send(producer, kit.topic, "b"));
        Check.within(120_000, "the second part", () -> sent.stream().allMatch(received::has));
        received.exactly(sent);
        Runner.note(sent.size() + " messages, " + failedOnce.size() + " failed once, "
            + received.duplicates() + " duplicates");
        Check.that(received.duplicates() <= sent.size() / 2,
            "more duplicates than a restart explains");
    }

    /** Each tenth message of the first part fails at its first attempt. */
    private DefaultMQPushConsumer start(Kit kit, String name, Received received) throws Exception {
        DefaultMQPushConsumer consumer = kit.pushConsumer(kit.group);
        PopKit.byServer(consumer, INVISIBLE_MS);
        consumer.setConsumeMessageBatchMaxSize(1);
        consumer.subscribe(kit.topic, "*");
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            String id = messages.get(0).getUserProperty(Received.ID);
            boolean fails = id != null && id.startsWith("a") && id.endsWith("7");
            if (fails && failedOnce.add(id)) {
                return ConsumeConcurrentlyStatus.RECONSUME_LATER;
            }
            messages.forEach(m -> received.add(name, m));
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
        return consumer;
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
}

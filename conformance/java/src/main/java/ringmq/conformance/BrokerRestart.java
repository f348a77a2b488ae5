package ringmq.conformance;

import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendStatus;
import org.apache.rocketmq.common.message.Message;

/**
 * The broker is stopped and started on its store under a steady sender: what was acknowledged is
 * there, before and after.
 */
final class BrokerRestart implements Scenario {
    private final Set<String> acknowledged = ConcurrentHashMap.newKeySet();
    private final Set<String> attempted = ConcurrentHashMap.newKeySet();
    private final AtomicInteger failures = new AtomicInteger();
    private final AtomicBoolean stop = new AtomicBoolean();

    @Override
    public void run(Kit kit) throws Exception {
        DefaultMQProducer producer = kit.producer();
        producer.setRetryTimesWhenSendFailed(3);
        producer.setSendMsgTimeout(3_000);
        kit.createTopic(producer);
        Received live = new Received();
        start(kit, kit.group, live);
        Thread sender = new Thread(() -> send(producer, kit.topic));
        sender.start();
        Check.within(20_000, "100 acknowledged before the restart", () ->
            acknowledged.size() >= 100);
        Runner.ask("restart-broker");
        int before = acknowledged.size();
        Check.within(60_000, "200 acknowledged after the restart", () ->
            acknowledged.size() >= before + 200);
        stop.set(true);
        sender.join();
        Runner.note(acknowledged.size() + " acknowledged, " + failures.get()
            + " sends failed meanwhile");

        Check.within(60_000, "the consumer that lived through it has everything", () ->
            received(live));
        Received fresh = new Received();
        start(kit, kit.group + "_new", fresh);
        Check.within(60_000, "a new group reads everything from the store", () -> received(fresh));
        Check.that(attempted.size() >= fresh.distinct(), "more messages than were ever sent");
    }

    private boolean received(Received received) {
        return acknowledged.stream().allMatch(received::has);
    }

    private static void start(Kit kit, String group, Received received) throws Exception {
        DefaultMQPushConsumer consumer = kit.pushConsumer(group);
        consumer.subscribe(kit.topic, "*");
        consumer.registerMessageListener(received.listener("c"));
        consumer.start();
    }

    /** An unanswered send may or may not be stored, so each attempt has an id of its own. */
    private void send(DefaultMQProducer producer, String topic) {
        for (int i = 0; !stop.get(); i++) {
            String id = "r" + i;
            Message message = new Message(topic, "t", id.getBytes());
            message.putUserProperty(Received.ID, id);
            attempted.add(id);
            try {
                if (producer.send(message).getSendStatus() == SendStatus.SEND_OK) {
                    acknowledged.add(id);
                }
                Thread.sleep(5);
            } catch (Exception e) {
                failures.incrementAndGet();
                pause();
            }
        }
    }

    private static void pause() {
        try {
            Thread.sleep(100);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }
}

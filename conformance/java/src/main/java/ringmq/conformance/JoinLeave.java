package ringmq.conformance;

import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.message.Message;

/**
 * A second consumer joins a group under load and leaves again: both work, each message reaches one
 * of them, none is lost.
 */
final class JoinLeave implements Scenario {
    /**
     * Messages in flight when a queue moves may come to both: at-least-once is RocketMQ's promise.
     * Apache's own runs show none to a few; a broker that lost the commit at hand-over would repeat
     * hundreds.
     */
    private static final int DUPLICATES_MAX = 100;

    private final Set<String> sent = ConcurrentHashMap.newKeySet();
    private final AtomicBoolean stop = new AtomicBoolean();
    private final AtomicReference<Exception> failure = new AtomicReference<>();
    private final Received received = new Received();

    @Override
    public void run(Kit kit) throws Exception {
        DefaultMQProducer producer = kit.producer();
        kit.createTopic(producer);
        start(kit, "one");
        Thread sender = new Thread(() -> send(producer, kit.topic));
        sender.start();
        Check.within(60_000, "the first consumer works", () -> received.of("one") >= 100);

        DefaultMQPushConsumer two = start(kit, "two");
        Check.within(60_000, "the second consumer gets its share", () -> received.of("two") >= 200);
        int one = received.of("one");
        Check.within(60_000, "the first one goes on beside it", () -> received.of("one") >= one
            + 100);
        two.shutdown();
        int atLeave = received.distinct();
        Check.within(60_000, "the first one takes over", () -> received.distinct() >= atLeave
            + 200);
        stop.set(true);
        sender.join();
        Check.same(null, failure.get(), "failure of the sender");
        Check.within(60_000, "nothing is lost", () -> received.distinct() >= sent.size());
        received.exactly(sent);
        Runner.note(sent.size() + " sent, " + received.duplicates() + " twice, second consumer had "
            + received.of("two"));
        Check.between(0, DUPLICATES_MAX, received.duplicates(), "duplicates");
    }

    private DefaultMQPushConsumer start(Kit kit, String name) throws Exception {
        DefaultMQPushConsumer consumer = kit.pushConsumer(kit.group);
        consumer.subscribe(kit.topic, "*");
        consumer.registerMessageListener(received.listener(name));
        consumer.start();
        return consumer;
    }

    private void send(DefaultMQProducer producer, String topic) {
        try {
            for (int i = 0; !stop.get(); i++) {
                Message message = new Message(topic, "t", ("j" + i).getBytes());
                message.putUserProperty(Received.ID, "j" + i);
                producer.send(message);
                sent.add("j" + i);
                Thread.sleep(5);
            }
        } catch (Exception e) {
            failure.set(e);
        }
    }
}

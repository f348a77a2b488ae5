package ringmq.conformance;

import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.remoting.protocol.RemotingCommand;

/**
 * A group changes under a steady sender: from pull to POP and back and to POP again (401), with one
 * member that always pulls beside those that the broker balances, members that come and leave, and
 * a topic that gets more queues and then fewer. Nothing is lost; duplicates are counted.
 */
final class PopChanges implements Scenario {
    private static final int UPDATE_TOPIC = 17;
    private static final long INVISIBLE_MS = 10_000;
    /** Between two changes so many messages come. */
    private static final int BETWEEN = 300;

    private final Set<String> sent = ConcurrentHashMap.newKeySet();
    private final AtomicBoolean stop = new AtomicBoolean();
    private final AtomicReference<Exception> failure = new AtomicReference<>();
    private final Received received = new Received();
    private final StringBuilder story = new StringBuilder();
    private int before;

    @Override
    public void run(Kit kit) throws Exception {
        DefaultMQProducer producer = kit.producer();
        producer.setRetryTimesWhenSendFailed(5);
        kit.createTopic(producer);
        queues(producer, kit.topic, 4, 4);
        balanced(kit, "one");
        balanced(kit, "two");
        Thread sender = new Thread(() -> send(producer, kit.topic));
        sender.start();
        goesOn("pull");
        PopKit.mode(producer, kit.topic, kit.group, "POP");
        goesOn("POP");
        queues(producer, kit.topic, 8, 8);
        goesOn("8 queues");
        DefaultMQPushConsumer puller = start(kit, "puller");
        goesOn("a member that pulls");
        puller.shutdown();
        goesOn("it leaves");
        PopKit.mode(producer, kit.topic, kit.group, "PULL");
        goesOn("pull again");
        DefaultMQPushConsumer third = balanced(kit, "three");
        goesOn("a member comes");
        // Nobody sends to the upper queues any more; they are read until they are empty.
        queues(producer, kit.topic, 8, 4);
        goesOn("4 queues are written");
        PopKit.mode(producer, kit.topic, kit.group, "POP");
        goesOn("POP again");
        third.shutdown();
        goesOn("a member leaves");
        stop.set(true);
        sender.join();
        Check.same(null, failure.get(), "failure of the sender");
        Check.within(120_000, "nothing is lost", () -> sent.stream().allMatch(received::has));
        queues(producer, kit.topic, 4, 4);
        received.exactly(sent);
        Runner.note(sent.size() + " messages, " + received.duplicates() + " duplicates: " + story);
        Check.that(received.duplicates() <= sent.size() / 2,
            "more duplicates than nine changes explain");
    }

    /** Messages go on coming after a change. */
    private void goesOn(String change) throws Exception {
        int distinct = received.distinct();
        Check.within(120_000, BETWEEN + " messages after: " + change, () ->
            received.distinct() >= distinct + BETWEEN);
        story.append(change).append(' ').append(received.duplicates() - before).append(", ");
        before = received.duplicates();
    }

    private DefaultMQPushConsumer balanced(Kit kit, String name) throws Exception {
        DefaultMQPushConsumer consumer = consumer(kit, name);
        PopKit.byServer(consumer, INVISIBLE_MS);
        consumer.start();
        return consumer;
    }

    /** One that balances by itself, and so pulls. */
    private DefaultMQPushConsumer start(Kit kit, String name) throws Exception {
        DefaultMQPushConsumer consumer = consumer(kit, name);
        consumer.start();
        return consumer;
    }

    private DefaultMQPushConsumer consumer(Kit kit, String name) throws Exception {
        DefaultMQPushConsumer consumer = kit.pushConsumer(kit.group);
        consumer.setPollNameServerInterval(2_000);
        consumer.subscribe(kit.topic, "*");
        consumer.registerMessageListener(received.listener(name));
        return consumer;
    }

    private static void queues(DefaultMQProducer producer, String topic, int read, int write)
        throws Exception {
        Map<String, Object> fields = Map.of("topic", topic, "defaultTopic", "TBW102",
            "readQueueNums", read, "writeQueueNums", write, "perm", 6,
            "topicFilterType", "SINGLE_TAG", "topicSysFlag", 0, "order", false);
        for (String address : Kit.brokers().values()) {
            RemotingCommand answer = Kit.request(producer, address, UPDATE_TOPIC, fields);
            Check.same(0, answer.getCode(), "answer to updateTopic: " + answer.getRemark());
        }
        Kit.refreshRoute(producer, topic);
    }

    private void send(DefaultMQProducer producer, String topic) {
        try {
            for (int i = 0; !stop.get(); i++) {
                Message message = new Message(topic, "t", ("c" + i).getBytes());
                message.putUserProperty(Received.ID, "c" + i);
                producer.send(message);
                sent.add("c" + i);
                Thread.sleep(10);
            }
        } catch (Exception e) {
            failure.set(e);
        }
    }
}

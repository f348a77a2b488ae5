package ringmq.conformance;

import java.util.HashSet;
import java.util.Set;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.message.Message;

/**
 * 1,000 messages over the queues reach a new group once each; after a restart of the consumer only
 * new ones come.
 */
final class PushExactlyOnce implements Scenario {
    @Override
    public void run(Kit kit) throws Exception {
        DefaultMQProducer producer = kit.producer();
        kit.createTopic(producer);
        Set<String> before = send(producer, kit.topic, "a", 500);
        Received first = new Received();
        DefaultMQPushConsumer consumer = start(kit, first);
        before.addAll(send(producer, kit.topic, "b", 500));
        Check.within(60_000, "1,000 messages", () -> first.distinct() >= 1_000);
        Thread.sleep(300);
        first.exactlyOnce(before);
        consumer.shutdown();

        Set<String> after = send(producer, kit.topic, "c", 100);
        Received second = new Received();
        start(kit, second);
        Check.within(60_000, "100 messages sent while the group was away", () ->
            second.distinct() >= 100);
        Thread.sleep(500);
        second.exactlyOnce(after);
    }

    private static DefaultMQPushConsumer start(Kit kit, Received received) throws Exception {
        DefaultMQPushConsumer consumer = kit.pushConsumer(kit.group);
        consumer.subscribe(kit.topic, "*");
        consumer.registerMessageListener(received.listener("c"));
        consumer.start();
        return consumer;
    }

    private static Set<String> send(DefaultMQProducer producer, String topic, String prefix,
        int count) throws Exception {
        Set<String> ids = new HashSet<>();
        for (int i = 0; i < count; i++) {
            Message message = new Message(topic, "t", ("body " + prefix + i).getBytes());
            message.putUserProperty(Received.ID, prefix + i);
            producer.send(message);
            ids.add(prefix + i);
        }
        return ids;
    }
}

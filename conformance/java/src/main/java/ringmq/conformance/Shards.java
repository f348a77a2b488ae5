package ringmq.conformance;

import java.util.HashSet;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import org.apache.rocketmq.client.consumer.DefaultMQPullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageQueue;

/** Two shards (two masters): the client sees two brokers, is connected to both, and its messages are on both. */
final class Shards implements Scenario {
    @Override
    public void run(Kit kit) throws Exception {
        DefaultMQProducer producer = kit.producer();
        kit.createTopic(producer);
        Kit.refreshRoute(producer, kit.topic);
        Set<String> ids = new HashSet<>();
        for (int i = 0; i < 200; i++) {
            Message message = new Message(kit.topic, "t", ("s" + i).getBytes());
            message.putUserProperty(Received.ID, "s" + i);
            producer.send(message);
            ids.add("s" + i);
        }
        Received received = new Received();
        DefaultMQPushConsumer consumer = kit.pushConsumer(kit.group);
        consumer.subscribe(kit.topic, "*");
        consumer.registerMessageListener(received.listener("c"));
        consumer.start();
        Check.within(60_000, "200 messages", () -> received.distinct() >= 200);
        received.exactlyOnce(ids);
        stored(kit, producer);
        Runner.note("connected to " + Runner.ask("broker-connections"));
    }

    private static void stored(Kit kit, DefaultMQProducer producer) throws Exception {
        DefaultMQPullConsumer pull = kit.pullConsumer(kit.group + "_pull");
        Map<String, Long> byBroker = new TreeMap<>();
        for (MessageQueue queue : producer.fetchPublishMessageQueues(kit.topic)) {
            byBroker.merge(queue.getBrokerName(), pull.maxOffset(queue), Long::sum);
        }
        Runner.note("stored: " + byBroker);
        Check.same(Kit.brokers().keySet(), byBroker.keySet(), "brokers of the topic");
        Check.that(byBroker.values().stream().allMatch(n -> n >= 80),
            "messages on both, about half each: " + byBroker);
    }
}

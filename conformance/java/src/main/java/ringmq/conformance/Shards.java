package ringmq.conformance;

import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import org.apache.rocketmq.client.consumer.DefaultMQPullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageQueue;

/** A broker of two shards: the client sees two brokers, is connected to both, and its messages are on both. */
final class Shards implements Scenario {
    @Override
    public void run(Kit kit) throws Exception {
        DefaultMQProducer producer = kit.producer();
        producer.send(new Message(kit.topic, "first", "first".getBytes()));
        Check.within(10_000, "the topic is on both shards", () -> brokers(producer, kit.topic).size() == 2);
        Thread.sleep(500);
        refreshRoute(producer, kit.topic);
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

    private static Set<String> brokers(DefaultMQProducer producer, String topic) {
        Set<String> names = new HashSet<>();
        try {
            refreshRoute(producer, topic);
            for (MessageQueue queue : producer.fetchPublishMessageQueues(topic)) {
                names.add(queue.getBrokerName());
            }
        } catch (Exception e) {
            return Set.of();
        }
        return names;
    }

    /** Clients look every 30 s by themselves; a scenario does not wait for that. */
    private static void refreshRoute(DefaultMQProducer producer, String topic) {
        producer.getDefaultMQProducerImpl().getmQClientFactory().updateTopicRouteInfoFromNameServer(topic);
    }

    private static void stored(Kit kit, DefaultMQProducer producer) throws Exception {
        DefaultMQPullConsumer pull = new DefaultMQPullConsumer(kit.group + "_pull");
        pull.setNamesrvAddr(kit.namesrv());
        pull.setInstanceName(kit.instanceForOther());
        pull.start();
        kit.closeLater(pull::shutdown);
        Map<String, Long> byBroker = new TreeMap<>();
        List<MessageQueue> queues = producer.fetchPublishMessageQueues(kit.topic);
        for (MessageQueue queue : queues) {
            byBroker.merge(queue.getBrokerName(), pull.maxOffset(queue), Long::sum);
        }
        Runner.note("stored: " + byBroker);
        Check.same(2, byBroker.size(), "brokers of the topic");
        Check.that(byBroker.values().stream().allMatch(n -> n >= 80), "messages on both, about half each: " + byBroker);
    }
}

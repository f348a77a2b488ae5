package ringmq.conformance;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.stream.Collectors;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageQueue;

/**
 * Two shards are two masters: a topic made by address or by a send is on that broker only, and
 * stays so; its route does not grow by itself, so a producer that hashes keys over the queues
 * keeps them where they are, and two consumers share the queues evenly.
 */
final class Placement implements Scenario {
    private static final int GET_TOPIC_CONFIG = 351;
    private static final int TOPIC_NOT_EXIST = 17;
    private static final int KEYS = 16;
    /** Longer than the 10 s after which brokers register again, with all their topics. */
    private static final long SETTLED_MS = 12_000;

    /** What the name server must say of each topic, now and later: queues by broker. */
    private final Map<String, Map<String, Long>> expected = new LinkedHashMap<>();
    /** Where each key of each topic went first. */
    private final Map<String, MessageQueue> places = new LinkedHashMap<>();
    private Kit kit;
    private DefaultMQProducer producer;

    @Override
    public void run(Kit kit) throws Exception {
        this.kit = kit;
        List<String> brokers = new ArrayList<>(Kit.brokers().keySet());
        Check.same(2, brokers.size(), "brokers");
        producer = kit.producer();
        for (String broker : brokers) {
            byAddress(broker);
            bySend(broker);
        }
        for (int key = 0; key < KEYS; key++) {
            sendKey(kit.topic + "_keys", key);
        }
        expected.put(kit.topic + "_keys", Map.of(brokers.get(0), 4L, brokers.get(1), 4L));
        for (int key = 4; key < 12; key++) {
            oneKey(key);
        }
        share(brokers);
        checkAll("at once");
        Thread.sleep(SETTLED_MS);
        checkAll("after " + SETTLED_MS + " ms");
        keysStay();
    }

    /** mqadmin's updateTopic -b: six queues there, none elsewhere. */
    private void byAddress(String broker) throws Exception {
        String topic = kit.topic + "_by_address_" + broker;
        String address = Kit.brokers().get(broker);
        String said = Runner.ask("mqadmin updateTopic -b " + address + " -t " + topic + " -r 6 -w 6");
        Check.that(said.contains("success"), "mqadmin updateTopic -b: " + said);
        expected.put(topic, Map.of(broker, 6L));
    }

    private void bySend(String broker) throws Exception {
        String topic = kit.topic + "_by_send_" + broker;
        producer.send(new Message(topic, "t", "first".getBytes()), new MessageQueue(topic, broker, 2));
        expected.put(topic, Map.of(broker, 4L));
    }

    /** A topic that one key makes: it is on the broker that this key's hash led to, only. */
    private void oneKey(int key) throws Exception {
        String topic = kit.topic + "_key" + key;
        MessageQueue queue = sendKey(topic, key);
        expected.put(topic, Map.of(queue.getBrokerName(), 4L));
    }

    private MessageQueue sendKey(String topic, int key) throws Exception {
        Message message = new Message(topic, "t", ("key " + key).getBytes());
        MessageQueue queue = producer.send(message,
            (queues, m, k) -> queues.get((Integer) k % queues.size()), key).getMessageQueue();
        places.putIfAbsent(topic + " " + key, queue);
        return queue;
    }

    /** By a hash over the queues: what moved a key can only be a route that changed. */
    private void keysStay() throws Exception {
        int moved = 0;
        for (Map.Entry<String, MessageQueue> place : Map.copyOf(places).entrySet()) {
            String topic = place.getKey().substring(0, place.getKey().indexOf(' '));
            int key = Integer.parseInt(place.getKey().substring(topic.length() + 1));
            Kit.refreshRoute(producer, topic);
            moved += sendKey(topic, key).equals(place.getValue()) ? 0 : 1;
        }
        Runner.note(places.size() + " keys, " + moved + " moved");
        Check.same(0, moved, "keys that moved to another queue");
    }

    private void checkAll(String when) throws Exception {
        for (Map.Entry<String, Map<String, Long>> one : expected.entrySet()) {
            String topic = one.getKey();
            Check.within(10_000, topic + " is in the route", () -> !Kit.route(producer, topic).isEmpty());
            Map<String, Long> found = Kit.route(producer, topic).stream()
                .collect(Collectors.groupingBy(MessageQueue::getBrokerName, TreeMap::new, Collectors.counting()));
            Check.same(one.getValue(), found, "queues of " + topic + " by broker, " + when);
            for (Map.Entry<String, String> broker : Kit.brokers().entrySet()) {
                int code = one.getValue().containsKey(broker.getKey()) ? 0 : TOPIC_NOT_EXIST;
                Check.same(code, Kit.request(producer, broker.getValue(), GET_TOPIC_CONFIG,
                    Map.of("topic", topic)).getCode(), "topic " + topic + " on " + broker.getKey() + ", " + when);
            }
        }
    }

    /** Four queues on one broker are shared 2 + 2, eight on both 4 + 4. */
    private void share(List<String> brokers) throws Exception {
        Map<String, Integer> shares = new LinkedHashMap<>();
        shares.put(kit.topic + "_by_send_" + brokers.get(0), 2);
        shares.put(kit.topic + "_by_address_" + brokers.get(1), 3);
        shares.put(kit.topic + "_keys", 4);
        for (Map.Entry<String, Integer> share : shares.entrySet()) {
            String topic = share.getKey();
            List<DefaultMQPushConsumer> consumers = List.of(consumer(topic), consumer(topic));
            Check.within(60_000, topic + " is shared " + share.getValue() + " + " + share.getValue() + ", not "
                + sharesOf(consumers, topic), () -> sharesOf(consumers, topic).stream()
                    .allMatch(queues -> queues.size() == share.getValue()));
            List<Set<MessageQueue>> held = sharesOf(consumers, topic);
            Check.that(held.get(0).stream().noneMatch(held.get(1)::contains), "shared twice: " + held);
            Check.same(expected.get(topic).keySet(), held.stream().flatMap(Set::stream)
                .map(MessageQueue::getBrokerName).collect(Collectors.toSet()), "brokers of " + topic);
            consumers.forEach(DefaultMQPushConsumer::shutdown);
        }
    }

    private DefaultMQPushConsumer consumer(String topic) throws Exception {
        DefaultMQPushConsumer consumer = kit.pushConsumer("G_" + topic);
        consumer.subscribe(topic, "*");
        consumer.registerMessageListener(new Received().listener("c"));
        consumer.start();
        return consumer;
    }

    private static List<Set<MessageQueue>> sharesOf(List<DefaultMQPushConsumer> consumers, String topic) {
        return consumers.stream().map(consumer -> consumer.getDefaultMQPushConsumerImpl().getRebalanceImpl()
            .getProcessQueueTable().keySet().stream().filter(queue -> topic.equals(queue.getTopic()))
            .collect(Collectors.toSet())).collect(Collectors.toList());
    }
}

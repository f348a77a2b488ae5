package ringmq.conformance;

import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.rocketmq.client.consumer.DefaultMQPullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.ConsumeOrderlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.consumer.listener.MessageListenerOrderly;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.MQVersion;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;
import org.apache.rocketmq.remoting.protocol.RemotingCommand;

/**
 * Messages that a group gives up: sent back (CONSUMER_SEND_MSG_BACK) by concurrent consumers whose
 * maximum is 0 or that want no other try, sent over its maximum by an orderly one. They arrive in
 * %DLQ%group once, as they were, with the properties that say where they came from.
 */
final class DeadLetters implements Scenario {
    private static final int SEND_MSG_BACK = 36;
    private static final int COUNT = 6;
    private final Map<String, SendResult> sent = new TreeMap<>();
    private Kit kit;
    private DefaultMQProducer producer;
    private DefaultMQPullConsumer reader;
    private List<MessageQueue> queues;

    @Override
    public void run(Kit kit) throws Exception {
        this.kit = kit;
        producer = kit.producer();
        queues = kit.createTopic(producer);
        reader = kit.pullConsumer(kit.group + "_reader");
        for (int i = 0; i < COUNT; i++) {
            send("m" + i);
        }
        concurrent(kit.group + "_none", 0, 0);
        concurrent(kit.group + "_now", 5, -1);
        orderly(kit.group + "_orderly");
        answers();
    }

    private void send(String id) throws Exception {
        String body = Letters.body(id, id.equals("m1"));
        Message message = Letters.message(kit.topic, id, "key-" + id + " dead", body);
        sent.put(id, producer.send(message, queues.get(sent.size() % queues.size())));
    }

    private void concurrent(String group, int maxReconsumeTimes, int delayLevel) throws Exception {
        Map<String, AtomicInteger> tries = new ConcurrentHashMap<>();
        Map<String, MessageExt> seen = new ConcurrentHashMap<>();
        DefaultMQPushConsumer consumer = kit.pushConsumer(group);
        consumer.setMaxReconsumeTimes(maxReconsumeTimes);
        consumer.subscribe(kit.topic, "tag");
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            messages.forEach(message -> tried(tries, seen, message));
            context.setDelayLevelWhenNextConsume(delayLevel);
            return ConsumeConcurrentlyStatus.RECONSUME_LATER;
        });
        consumer.start();
        Map<String, MessageExt> dead = dead(group);
        tries.forEach((id, count) -> Check.same(1, count.get(), group + ": tries of " + id));
        for (MessageExt letter : dead.values()) {
            String id = letter.getUserProperty(Received.ID);
            asItWas(group, letter, seen.get(id));
            Check.same(1, letter.getReconsumeTimes(), group + ": reconsumeTimes of " + id);
            Map<String, String> expected = new HashMap<>(Map.of("DELAY", "0", "WAIT", "false",
                "RETRY_TOPIC", kit.topic, "ORIGIN_MESSAGE_ID", sent.get(id).getOffsetMsgId()));
            properties(group, letter, seen.get(id), expected);
            Check.same(seen.get(id).getBornHostString(), letter.getBornHostString(), "born host of "
                + id);
            Check.same(seen.get(id).getBornTimestamp(), letter.getBornTimestamp(), "born time of "
                + id);
        }
        consumer.shutdown();
    }

    /** Two tries, then the client sends the message to its retry topic, with the maximum it has. */
    private void orderly(String group) throws Exception {
        Map<String, AtomicInteger> tries = new ConcurrentHashMap<>();
        Map<String, MessageExt> seen = new ConcurrentHashMap<>();
        DefaultMQPushConsumer consumer = kit.pushConsumer(group);
        consumer.setMaxReconsumeTimes(1);
        consumer.setSuspendCurrentQueueTimeMillis(100);
        consumer.subscribe(kit.topic, "tag");
        consumer.registerMessageListener((MessageListenerOrderly) (messages, context) -> {
            messages.forEach(message -> tried(tries, seen, message));
            return ConsumeOrderlyStatus.SUSPEND_CURRENT_QUEUE_A_MOMENT;
        });
        consumer.start();
        // A 4.9.8 client names a count that is not over its maximum: there it is the group's locks
        // on its queues that tell the broker that these are dead letters.
        int times = MQVersion.CURRENT_VERSION < MQVersion.Version.V5_0_0.ordinal() ? 1 : 2;
        Map<String, MessageExt> dead = dead(group);
        tries.forEach((id, count) -> Check.same(2, count.get(), group + ": tries of " + id));
        for (MessageExt letter : dead.values()) {
            String id = letter.getUserProperty(Received.ID);
            asItWas(group, letter, seen.get(id));
            Check.same(times, letter.getReconsumeTimes(), group + ": reconsumeTimes of " + id);
            Map<String, String> expected = new HashMap<>(Map.of("DELAY", "-1",
                "RETRY_TOPIC", kit.topic,
                "ORIGIN_MESSAGE_ID", sent.get(id).getMsgId(), "RECONSUME_TIME", "" + times,
                "MAX_RECONSUME_TIMES", "1"));
            properties(group, letter, seen.get(id), expected);
        }
        consumer.shutdown();
    }

    private static void tried(Map<String, AtomicInteger> tries, Map<String, MessageExt> seen,
        MessageExt message) {
        String id = message.getUserProperty(Received.ID);
        tries.computeIfAbsent(id, k -> new AtomicInteger()).incrementAndGet();
        seen.put(id, message);
    }

    /** Every message once, in the only queue of the topic; the topic has one wherever it is. */
    private Map<String, MessageExt> dead(String group) throws Exception {
        String topic = "%DLQ%" + group;
        Map<String, MessageExt> dead = new TreeMap<>();
        Check.within(60_000, group + ": " + COUNT + " dead letters", () ->
            read(topic, dead) >= COUNT);
        Thread.sleep(1_500); // what must not come twice, or be tried again, has had its chance
        Check.same(COUNT, read(topic, dead), group + ": dead letters");
        Check.same(sent.keySet(), dead.keySet(), group + ": ids of the dead letters");
        Map<String, Long> byBroker = new TreeMap<>();
        Kit.route(producer, topic)
            .forEach(queue -> byBroker.merge(queue.getBrokerName(), 1L, Long::sum));
        Check.that(byBroker.values().stream().allMatch(count -> count == 1), topic + " by broker: "
            + byBroker);
        return dead;
    }

    private int read(String topic, Map<String, MessageExt> dead) {
        return Letters.read(producer, reader, topic, dead);
    }

    private void asItWas(String group, MessageExt letter, MessageExt original) throws Exception {
        String what = group + ": of " + original.getUserProperty(Received.ID) + ", ";
        Letters.same(what, original, letter);
        Check.same(0, letter.getQueueId(), what + "queue");
        Check.that(letter.getStoreTimestamp() >= original.getStoreTimestamp(), what + "store time");
        String body = new String(letter.getBody());
        String key = "key-" + original.getUserProperty(Received.ID);
        Check.within(10_000, what + "found by key", () -> Set.of(body).equals(
            QueryByKey.found(producer, letter.getTopic(), key, 32, 0, QueryByKey.end())));
        Check.same(body, new String(QueryByKey.byUniqueKey(producer, letter.getTopic(),
            original.getMsgId()).getBody()), what + "found by unique key");
    }

    /**
     * Those expected, and beside them just what the original has (and what a client adds to it).
     */
    private static void properties(String group, MessageExt letter, MessageExt original,
        Map<String, String> expected) {
        Set<String> clients = Set.of("MIN_OFFSET", "MAX_OFFSET", "CONSUME_START_TIME",
            "RETRY_TOPIC", "RECONSUME_TIME", "CLUSTER", "ORIGIN_MESSAGE_ID", "WAIT", "DELAY");
        Map<String, String> wanted = new TreeMap<>(original.getProperties());
        wanted.keySet().removeAll(clients);
        wanted.putAll(expected);
        Map<String, String> found = new TreeMap<>(letter.getProperties());
        found.keySet().removeIf(name -> clients.contains(name) && !expected.containsKey(name));
        Check.same(wanted, found, group + ": properties of "
            + original.getUserProperty(Received.ID));
    }

    private void answers() throws Exception {
        SendResult one = sent.get("m0");
        String address = Kit.brokers().get(one.getMessageQueue().getBrokerName());
        String group = kit.group + "_answers";
        Map<String, Object> fields = new HashMap<>(Map.of("offset", 1L << 50, "group", group,
            "delayLevel", -1, "originMsgId", one.getOffsetMsgId(), "originTopic", kit.topic));
        RemotingCommand answer = Kit.request(producer, address, SEND_MSG_BACK, fields);
        Check.same(1, answer.getCode(), "answer for an offset past the end");
        Check.same("look message by offset failed, " + (1L << 50), answer.getRemark(),
            "its remark");
        fields.put("offset", Long.parseLong(one.getOffsetMsgId().substring(16), 16));
        fields.put("group", "no such group!");
        Check.same(26, Kit.request(producer, address, SEND_MSG_BACK, fields).getCode(),
            "answer for a group that can't be");
        fields.put("group", group);
        answer = Kit.request(producer, address, SEND_MSG_BACK, fields);
        Check.same(0, answer.getCode(), "answer for a message sent back past its maximum");
        Check.same(null, answer.getRemark(), "its remark");
        Map<String, MessageExt> dead = new TreeMap<>();
        Check.within(10_000, "one dead letter", () -> read("%DLQ%" + group, dead) == 1);
        Check.same(Set.of("m0"), dead.keySet(), "the dead letter");
    }
}

package ringmq.conformance;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import org.apache.rocketmq.client.consumer.DefaultMQPullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.PullResult;
import org.apache.rocketmq.client.consumer.PullStatus;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.LocalTransactionState;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.client.producer.SendStatus;
import org.apache.rocketmq.client.producer.TransactionListener;
import org.apache.rocketmq.client.producer.TransactionMQProducer;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/**
 * One store, Apache's broker and RingMQ's by turns: what either wrote, both read, by queue, by
 * message id, by key, by unique key; groups go on where they were. Stopped by SIGTERM first, then
 * by SIGKILL.
 */
final class DropIn implements Scenario {
    /** A message as its sender knows it. */
    private static final class Sent {
        final MessageQueue queue;
        final long queueOffset;
        final String uniqueKey;
        final String offsetId;
        final String body;
        final String key;

        Sent(MessageQueue queue, long queueOffset, String uniqueKey, String offsetId, String body,
            String key) {
            this.queue = queue;
            this.queueOffset = queueOffset;
            this.uniqueKey = uniqueKey;
            this.offsetId = offsetId;
            this.body = body;
            this.key = key;
        }
    }

    /**
     * Only Apache's first life, and the list of what it stored: for the store that plain tests
     * open.
     */
    private final boolean fixture;
    private final List<Sent> sent = new ArrayList<>();
    private final Map<MessageQueue, Long> committed = new LinkedHashMap<>();
    private final Set<String> retried = java.util.concurrent.ConcurrentHashMap.newKeySet();
    private final long begin = System.currentTimeMillis() - 5_000;
    private Kit kit;
    private DefaultMQProducer producer;
    private DefaultMQPullConsumer consumer;
    private List<String> topics;

    DropIn(boolean fixture) {
        this.fixture = fixture;
    }

    @Override
    public void run(Kit kit) throws Exception {
        this.kit = kit;
        topics = List.of(kit.topic, kit.topic + "_b", kit.topic + "_c");
        producer = kit.producer();
        consumer = pullConsumer();
        firstLifeOfApache();
        if (fixture) {
            commitSome();
            checkAll();
            list();
            return;
        }
        life("apache, its first");
        Runner.ask("refused-second-broker");
        for (String next : List.of("switch-broker ringmq", "switch-broker apache",
            "switch-broker ringmq", "switch-broker apache", "kill-broker-and-switch ringmq",
            "kill-broker-and-switch apache", "switch-broker ringmq")) {
            // Offsets reach their file every 5 s; only a broker that is stopped writes them at
            // its end.
            Thread.sleep(next.startsWith("kill") ? 12_000 : 0);
            Runner.ask(next);
            life(next);
        }
        Runner.note(sent.size() + " messages, " + committed.size()
            + " offsets, 8 lives of one store");
    }

    private void list() {
        for (Sent one : sent) {
            String id = one.offsetId + " " + one.uniqueKey + " " + one.key;
            Runner.note("message " + one.queue.getTopic() + " " + one.queue.getQueueId() + " "
                + one.queueOffset + " " + id + " "
                + one.body.length() + " " + one.body.replaceAll("x+$", ""));
        }
        committed.forEach((queue, offset) ->
            Runner.note("offset " + kit.group + " " + queue.getTopic() + " " + queue.getQueueId()
            + " " + offset));
    }

    /** Everything that is there is right, then there is more. */
    private void life(String what) throws Exception {
        try {
            long started = System.currentTimeMillis();
            checkAll();
            Runner.say("checked after " + what + " in " + (System.currentTimeMillis() - started)
                + " ms at " + started);
            send(30);
            commitSome();
            checkQueues();
            checkOffsets();
        } catch (Check.Failed e) {
            throw new Check.Failed("after " + what + ": " + e.getMessage());
        }
    }

    private DefaultMQPullConsumer pullConsumer() throws Exception {
        DefaultMQPullConsumer consumer = new DefaultMQPullConsumer(kit.group);
        consumer.setNamesrvAddr(kit.namesrv());
        consumer.setInstanceName(kit.instanceForOther());
        consumer.setBrokerSuspendMaxTimeMillis(1_000);
        consumer.start();
        kit.closeLater(consumer::shutdown);
        return consumer;
    }

    private void firstLifeOfApache() throws Exception {
        for (String topic : topics) {
            producer.send(new Message(topic, "first", "first".getBytes()));
        }
        Check.within(30_000, "routes of all topics", () -> topics.stream()
            .noneMatch(topic -> queues(topic).isEmpty()));
        send(200);
        batch();
        transaction();
        retry();
    }

    private List<MessageQueue> queues(String topic) {
        try {
            return producer.fetchPublishMessageQueues(topic);
        } catch (Exception e) {
            return List.of();
        }
    }

    private void send(int count) throws Exception {
        for (int i = 0; i < count; i++) {
            int nth = sent.size();
            String topic = topics.get(nth % topics.size());
            List<MessageQueue> queues = queues(topic);
            String body = "message " + nth + " " + "x".repeat(nth % 17 * 100);
            Message message = new Message(topic, nth % 2 == 0 ? "even" : "odd", body.getBytes());
            message.setKeys(List.of("key" + nth, "shared"));
            remember(sendOne(message, queues.get(nth / 3 % queues.size())), body, "key" + nth);
        }
    }

    /** A broker that has just come back may not be known to this client yet. */
    private SendResult sendOne(Message message, MessageQueue queue) throws Exception {
        for (int attempt = 1; ; attempt++) {
            try {
                SendResult result = producer.send(message, queue, 10_000);
                Check.same(SendStatus.SEND_OK, result.getSendStatus(), "status of a send");
                return result;
            } catch (Exception e) {
                if (attempt == 20) {
                    throw e;
                }
                Thread.sleep(500);
            }
        }
    }

    private void remember(SendResult result, String body, String key) {
        sent.add(new Sent(result.getMessageQueue(), result.getQueueOffset(), result.getMsgId(),
            result.getOffsetMsgId(), body, key));
    }

    private void batch() throws Exception {
        List<Message> messages = new ArrayList<>();
        int first = sent.size();
        for (int i = 0; i < 5; i++) {
            Message message = new Message(topics.get(0), "even", ("batched " + i).getBytes());
            message.setKeys("batchkey" + i);
            messages.add(message);
        }
        SendResult result = producer.send(messages, queues(topics.get(0)).get(1));
        String[] unique = result.getMsgId().split(",");
        String[] offsets = result.getOffsetMsgId().split(",");
        for (int i = 0; i < 5; i++) {
            sent.add(new Sent(result.getMessageQueue(), result.getQueueOffset() + i, unique[i],
                offsets[i], "batched " + i, "batchkey" + i));
        }
        Check.same(first + 5, sent.size(), "messages of the batch");
    }

    private void transaction() throws Exception {
        TransactionMQProducer transactions = new TransactionMQProducer("PT_" + kit.topic);
        transactions.setNamesrvAddr(kit.namesrv());
        transactions.setInstanceName(kit.instanceForOther());
        transactions.setTransactionListener(new TransactionListener() {
            @Override
            public LocalTransactionState executeLocalTransaction(Message message, Object argument) {
                return (LocalTransactionState) argument;
            }

            @Override
            public LocalTransactionState checkLocalTransaction(MessageExt message) {
                return LocalTransactionState.UNKNOW;
            }
        });
        transactions.start();
        for (LocalTransactionState state : List.of(LocalTransactionState.COMMIT_MESSAGE,
            LocalTransactionState.ROLLBACK_MESSAGE)) {
            Message message = new Message(topics.get(1), "tx", state.name().getBytes());
            message.setKeys("tx" + state.name());
            transactions.sendMessageInTransaction(message, state);
        }
        transactions.shutdown();
        Check.within(20_000, "the committed message is in its queue", () ->
            found("txCOMMIT_MESSAGE", topics.get(1)).equals(Set.of("COMMIT_MESSAGE")));
    }

    /**
     * A message is refused once: it goes through a delay queue into the group's retry topic, and
     * comes again.
     */
    private void retry() throws Exception {
        String group = kit.group + "_retry";
        DefaultMQPushConsumer push = kit.pushConsumer(group);
        push.subscribe(topics.get(2), "*");
        push.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            context.setDelayLevelWhenNextConsume(1);
            boolean again = messages.stream().anyMatch(message -> message.getReconsumeTimes() > 0);
            messages.stream().filter(message -> message.getReconsumeTimes() > 0)
                .forEach(message -> retried.add(new String(message.getBody())));
            return again || !new String(messages.get(0).getBody()).startsWith("message 2 ")
                ? ConsumeConcurrentlyStatus.CONSUME_SUCCESS
                : ConsumeConcurrentlyStatus.RECONSUME_LATER;
        });
        push.start();
        Check.within(60_000, "the refused message comes again", () -> !retried.isEmpty());
        push.shutdown();
    }

    private void commitSome() throws Exception {
        for (String topic : topics) {
            for (MessageQueue queue : queues(topic)) {
                long max = consumer.maxOffset(queue);
                committed.put(queue, max - max / 3);
                consumer.getOffsetStore().updateOffset(queue, max - max / 3, false);
                consumer.getOffsetStore().updateConsumeOffsetToBroker(queue, max - max / 3, false);
            }
        }
    }

    private void checkAll() throws Exception {
        Check.within(30_000, "the broker answers", () -> topics.stream()
            .noneMatch(topic -> queues(topic).isEmpty()) && answers());
        checkQueues();
        checkOffsets();
        Check.within(20_000, "the last message is found by key", () ->
            found(last().key, last().queue.getTopic()).size() == 1);
        for (Sent one : sent) {
            String topic = one.queue.getTopic();
            Check.same(one.body, body(producer.viewMessage(topic, one.offsetId)), "message at "
                + one.offsetId);
            Check.same(Set.of(one.body), found(one.key, topic), "messages with key " + one.key);
            Check.same(one.body, body(QueryByKey.byUniqueKey(producer, topic, one.uniqueKey)),
                "message of unique key " + one.uniqueKey);
        }
        Check.same(Set.of("COMMIT_MESSAGE"), found("txCOMMIT_MESSAGE", topics.get(1)),
            "the committed message");
    }

    private void checkOffsets() throws Exception {
        for (Map.Entry<MessageQueue, Long> entry : committed.entrySet()) {
            long offset = consumer.fetchConsumeOffset(entry.getKey(), true);
            Check.same(entry.getValue(), offset, "offset of " + kit.group + " in "
                + entry.getKey());
        }
    }

    private Sent last() {
        return sent.get(sent.size() - 1);
    }

    private boolean answers() {
        try {
            return consumer.maxOffset(last().queue) > last().queueOffset;
        } catch (Exception e) {
            return false;
        }
    }

    private Set<String> found(String key, String topic) {
        Set<String> bodies = new TreeSet<>();
        bodies.addAll(QueryByKey.found(producer, topic, key, 32, begin, QueryByKey.end()));
        return bodies;
    }

    private static String body(MessageExt message) {
        return message == null ? "none" : new String(message.getBody());
    }

    /** Every queue from its beginning to its end, as a consumer reads it. */
    private void checkQueues() throws Exception {
        Map<String, String> stored = new LinkedHashMap<>();
        for (String topic : topics) {
            for (MessageQueue queue : queues(topic)) {
                Check.same(0L, consumer.minOffset(queue), "minimum offset of " + queue);
                readQueue(queue, stored);
            }
        }
        for (Sent one : sent) {
            Check.same(one.body, stored.get(place(one.queue, one.queueOffset)), "message at "
                + place(one.queue, one.queueOffset));
        }
    }

    private void readQueue(MessageQueue queue, Map<String, String> stored) throws Exception {
        for (long at = 0; ; ) {
            PullResult result = consumer.pull(queue, "*", at, 32);
            if (result.getPullStatus() != PullStatus.FOUND) {
                Check.same(at, result.getMaxOffset(), "end of " + queue + ", " + result);
                return;
            }
            for (MessageExt message : result.getMsgFoundList()) {
                Check.same(at++, message.getQueueOffset(), "offsets of " + queue
                    + " follow each other");
                stored.put(place(queue, message.getQueueOffset()), new String(message.getBody()));
            }
        }
    }

    private static String place(MessageQueue queue, long offset) {
        return queue.getTopic() + "/" + queue.getQueueId() + "/" + offset;
    }
}

package ringmq.conformance;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.rocketmq.client.consumer.DefaultMQPullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/**
 * A push consumer that fails sees each message again, with a higher count each time and not before
 * its delay, until it succeeds or has used up its attempts. What it sees of a message is what it
 * saw the first time. The delay is the broker's (level 3 for the first retry) or the consumer's.
 */
final class Retries implements Scenario {
    private static final int COUNT = 8;
    /** The delay of the level that the consumer asks for, and of the broker's own first one. */
    private static final long LEVEL_1_MS = 1_000;
    private static final long LEVEL_3_MS = 10_000;
    private static final int SUCCEEDS_AT = 3;

    /** One attempt. */
    private static final class Attempt {
        final MessageExt message;
        final long at = System.currentTimeMillis();

        Attempt(MessageExt message) {
            this.message = message;
        }
    }

    private final Map<String, SendResult> sent = new TreeMap<>();
    private Kit kit;
    private DefaultMQProducer producer;

    @Override
    public void run(Kit kit) throws Exception {
        this.kit = kit;
        producer = kit.producer();
        List<MessageQueue> queues = kit.createTopic(producer);
        for (int i = 0; i < COUNT; i++) {
            String id = "r" + i;
            Message message =
                Letters.message(kit.topic, id, "key-" + id, Letters.body(id, i == 1));
            sent.put(id, producer.send(message, queues.get(i % queues.size())));
        }
        succeeds(kit.group + "_asks", 1, SUCCEEDS_AT, LEVEL_1_MS);
        succeeds(kit.group + "_leaves", 0, 1, LEVEL_3_MS);
        givesUp(kit.group + "_gives_up");
    }

    /** Every message fails so often, then succeeds; each retry waits for its delay. */
    private void succeeds(String group, int level, int failures, long delayMs) throws Exception {
        Map<String, List<Attempt>> attempts = new ConcurrentHashMap<>();
        DefaultMQPushConsumer consumer = consumer(group, 16, attempts, level, failures);
        Check.within(failures * (delayMs + 20_000) + 30_000, group + ": attempts of all",
            () -> attempts.size() == COUNT && attempts.values().stream()
                .allMatch(list -> list.size() > failures));
        Thread.sleep(delayMs + 2_000); // one too many has had its chance
        consumer.shutdown();
        long latest = 0;
        for (Map.Entry<String, List<Attempt>> one : attempts.entrySet()) {
            Check.same(failures + 1, one.getValue().size(), group + ": attempts of "
                + one.getKey());
            for (int nth = 1; nth <= failures; nth++) {
                latest = Math.max(latest, retried(group, one.getKey(), one.getValue(), nth,
                    delayMs));
            }
        }
        Runner.note(group.substring(kit.group.length() + 1) + ": " + failures + " retries each, at "
            + "most " + latest + " ms after the time");
    }

    /** The attempt is the one before it once more; how late it was. */
    private long retried(String group, String id, List<Attempt> attempts, int nth, long delayMs) {
        String what = group + ": attempt " + nth + " of " + id + ": ";
        MessageExt first = attempts.get(0).message;
        MessageExt message = attempts.get(nth).message;
        long due = attempts.get(nth - 1).at + delayMs;
        long stored = message.getStoreTimestamp();
        Check.that(stored >= due, what + (due - stored) + " ms too early");
        Check.same(nth, message.getReconsumeTimes(), what + "reconsumeTimes");
        Check.same(kit.topic, message.getTopic(), what + "topic that the listener sees");
        Letters.same(what, first, message);
        Check.same(first.getMsgId(), message.getMsgId(), what + "unique key");
        Check.same(first.getBornTimestamp(), message.getBornTimestamp(), what + "born time");
        Check.same(first.getBornHostString(), message.getBornHostString(), what + "born host");
        Check.same(sent.get(id).getOffsetMsgId(), message.getProperty("ORIGIN_MESSAGE_ID"),
            what + "ORIGIN_MESSAGE_ID");
        Check.same(kit.topic, message.getProperty("RETRY_TOPIC"), what + "RETRY_TOPIC");
        Check.same("%RETRY%" + group, message.getProperty("REAL_TOPIC"), what + "REAL_TOPIC");
        return stored - due;
    }

    /** Two retries are allowed: the third failure makes a dead letter. */
    private void givesUp(String group) throws Exception {
        Map<String, List<Attempt>> attempts = new ConcurrentHashMap<>();
        DefaultMQPushConsumer consumer = consumer(group, 2, attempts, 1, Integer.MAX_VALUE);
        DefaultMQPullConsumer reader = kit.pullConsumer(group + "_reader");
        Map<String, MessageExt> dead = new TreeMap<>();
        Check.within(60_000, group + ": a dead letter of each", () -> {
            dead.clear();
            return Letters.read(producer, reader, "%DLQ%" + group, dead) >= COUNT;
        });
        Thread.sleep(2_000);
        consumer.shutdown();
        Check.same(COUNT, Letters.read(producer, reader, "%DLQ%" + group, dead), group + ": dead letters");
        Check.same(sent.keySet(), dead.keySet(), group + ": ids of the dead letters");
        for (Map.Entry<String, List<Attempt>> one : attempts.entrySet()) {
            String what = group + ": " + one.getKey() + ": ";
            Check.same(3, one.getValue().size(), what + "attempts");
            MessageExt letter = dead.get(one.getKey());
            Check.same(3, letter.getReconsumeTimes(), what + "reconsumeTimes of the dead letter");
            Check.same(sent.get(one.getKey()).getOffsetMsgId(),
                letter.getProperty("ORIGIN_MESSAGE_ID"), what + "ORIGIN_MESSAGE_ID");
            Check.same(kit.topic, letter.getProperty("RETRY_TOPIC"), what + "RETRY_TOPIC");
        }
    }

    private DefaultMQPushConsumer consumer(String group, int maximum,
        Map<String, List<Attempt>> attempts, int level, int failures) throws Exception {
        DefaultMQPushConsumer consumer = kit.pushConsumer(group);
        consumer.setMaxReconsumeTimes(maximum);
        consumer.subscribe(kit.topic, "tag");
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            boolean again = false;
            for (MessageExt message : messages) {
                List<Attempt> of = attempts.computeIfAbsent(message.getUserProperty(Received.ID),
                    id -> Collections.synchronizedList(new ArrayList<>()));
                of.add(new Attempt(message));
                again |= of.size() <= failures;
            }
            context.setDelayLevelWhenNextConsume(level);
            return again ? ConsumeConcurrentlyStatus.RECONSUME_LATER
                : ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
        return consumer;
    }
}

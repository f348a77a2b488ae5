package ringmq.conformance;

import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeOrderlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerOrderly;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendStatus;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/**
 * Orderly listeners of two consumers: a queue is never worked on by both, and its messages come in
 * order. Or of one, under which the broker is killed and started again. (Two would share the queues
 * anew after the broker's start, when it knows no lock and not both of them: Apache's broker then
 * lets both work on a queue for a while, and so does RingMQ's.)
 */
final class Orderly implements Scenario {
    private static final String MAKER = Kit.AGAINST_RINGMQ ? "ringmq" : "apache";
    private final boolean kills;
    private final AtomicInteger failures = new AtomicInteger();
    private final Map<MessageQueue, AtomicInteger> working = new ConcurrentHashMap<>();
    private final Map<MessageQueue, Long> highest = new ConcurrentHashMap<>();
    private final ConcurrentLinkedQueue<String> violations = new ConcurrentLinkedQueue<>();
    private final Received received = new Received();
    private final AtomicBoolean stop = new AtomicBoolean();
    private final AtomicReference<Exception> failure = new AtomicReference<>();
    private final Set<String> sent = ConcurrentHashMap.newKeySet();

    Orderly(boolean kills) {
        this.kills = kills;
    }

    @Override
    public void run(Kit kit) throws Exception {
        DefaultMQProducer producer = kit.producer();
        producer.setRetryTimesWhenSendFailed(kills ? 0 : 2);
        kit.createTopic(producer);
        start(kit, "one");
        Thread sender = new Thread(() -> send(producer, kit.topic));
        sender.start();
        Check.within(60_000, "the first consumer works", () -> received.of("one") >= 100);
        if (kills) {
            overAKill();
        } else {
            overAHandOver(kit);
        }
        stop.set(true);
        sender.join();
        Check.same(null, failure.get(), "failure of the sender");
        Check.within(120_000, "nothing is lost", () -> sent.stream().allMatch(received::has));
        if (!kills) {
            received.exactly(new HashSet<>(sent));
        }
        Check.that(violations.isEmpty(), violations.size() + " violations of order, first: "
            + violations.peek());
        Runner.note(sent.size() + " acknowledged, " + failures.get() + " sends failed, "
            + received.duplicates() + " twice");
    }

    private void overAKill() throws Exception {
        Runner.ask("kill-broker");
        Runner.ask("start-broker " + MAKER);
        int before = sent.size();
        Check.within(120_000, "messages are accepted again", () -> sent.size() >= before + 300);
    }

    private void overAHandOver(Kit kit) throws Exception {
        // The newcomer gets a queue's lock when the old owner has unlocked it, at its next try:
        // up to 20 s later.
        DefaultMQPushConsumer two = start(kit, "two");
        Check.within(60_000, "the second consumer gets queues", () -> received.of("two") >= 100);
        two.shutdown();
        int atLeave = received.of("one");
        Check.within(60_000, "the first one goes on", () -> received.of("one") >= atLeave + 200);
    }

    private DefaultMQPushConsumer start(Kit kit, String name) throws Exception {
        DefaultMQPushConsumer consumer = kit.pushConsumer(kit.group);
        consumer.subscribe(kit.topic, "*");
        consumer.registerMessageListener((MessageListenerOrderly) (messages, context) -> {
            consume(name, context.getMessageQueue(), messages);
            return ConsumeOrderlyStatus.SUCCESS;
        });
        consumer.start();
        return consumer;
    }

    private void consume(String name, MessageQueue queue, List<MessageExt> messages) {
        AtomicInteger count = working.computeIfAbsent(queue, k -> new AtomicInteger());
        if (count.incrementAndGet() != 1) {
            violations.add(queue + " worked on twice at once, by " + name);
        }
        for (MessageExt message : messages) {
            long offset = message.getQueueOffset();
            String id = message.getUserProperty(Received.ID);
            boolean repeated = id != null && received.has(id); // allowed after a hand-over
            long before = highest.merge(queue, offset, Math::max);
            received.add(name, message);
            if (before > offset && !repeated) {
                violations.add(queue + ": " + offset + " after " + before);
            }
        }
        count.decrementAndGet();
    }

    /** As many keys as queues, so that either consumer has some of them. */
    private void send(DefaultMQProducer producer, String topic) {
        try {
            for (int i = 0; !stop.get(); i++) {
                Message message = new Message(topic, "t", ("o" + i).getBytes());
                message.putUserProperty(Received.ID, "o" + i);
                if (isSent(producer, message, i)) {
                    sent.add("o" + i);
                }
                Thread.sleep(5);
            }
        } catch (Exception e) {
            failure.set(e);
        }
    }

    /** A send that failed under a kill may be stored or not; each message is sent once. */
    private boolean isSent(DefaultMQProducer producer, Message message, int key)
        throws Exception {
        try {
            return producer.send(message, Orderly::byKey, key).getSendStatus()
                == SendStatus.SEND_OK;
        } catch (Exception e) {
            if (!kills || e instanceof InterruptedException) {
                throw e;
            }
            failures.incrementAndGet();
            Thread.sleep(100);
            return false;
        }
    }

    private static MessageQueue byKey(List<MessageQueue> queues, Message message, Object key) {
        return queues.get((Integer) key % queues.size());
    }
}

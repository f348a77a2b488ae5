package ringmq.conformance;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageQueue;

/**
 * A waiting consumer gets a message when it arrives, not when its poll runs out; also after a long
 * poll has ended empty.
 */
final class LongPolling implements Scenario {
    /**
     * Far above a loopback round trip on a busy machine, far below the 5 s at which a broker looks
     * at its long polls.
     */
    private static final long MEDIAN_MS_MAX = 300;
    private static final long WORST_MS_MAX = 2_500;
    /** Longer than the 15 s that a push consumer asks for, plus the 5 s step of Apache's check. */
    private static final long IDLE_MS = 21_000;

    private final List<Long> delays = Collections.synchronizedList(new ArrayList<>());

    @Override
    public void run(Kit kit) throws Exception {
        DefaultMQProducer producer = kit.producer();
        MessageQueue queue = kit.createTopic(producer).get(0);
        DefaultMQPushConsumer consumer = kit.pushConsumer(kit.group);
        consumer.subscribe(kit.topic, "*");
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            messages.stream().filter(m -> m.getUserProperty(Received.ID) != null)
                .forEach(m -> delays.add(System.currentTimeMillis() - m.getBornTimestamp()));
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
        send(producer, queue, 0);
        Check.within(60_000, "the first message", () -> delays.size() == 1);
        delays.clear(); // starting up is not what is measured
        for (int i = 1; i <= 12; i++) {
            Thread.sleep(250);
            send(producer, queue, i);
        }
        Check.within(10_000, "12 messages", () -> delays.size() == 12);
        Thread.sleep(IDLE_MS);
        send(producer, queue, 13);
        Check.within(10_000, "the message after the idle time", () -> delays.size() == 13);

        long afterIdle = delays.get(12);
        Collections.sort(delays);
        long worst = delays.get(delays.size() - 1);
        Runner.note("median " + delays.get(6) + " ms, worst " + worst + " ms, after an idle time "
            + afterIdle + " ms");
        Check.between(0, MEDIAN_MS_MAX, delays.get(6), "median delay in ms");
        Check.between(0, WORST_MS_MAX, worst, "worst delay in ms");
    }

    private static void send(DefaultMQProducer producer, MessageQueue queue, int i)
        throws Exception {
        Message message = new Message(queue.getTopic(), "t", ("n" + i).getBytes());
        message.putUserProperty(Received.ID, "n" + i);
        producer.send(message, queue);
    }
}

package ringmq.conformance;

import java.util.Arrays;
import java.util.List;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.CountDownLatch;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageQueue;

/**
 * A group whose listener never returns costs only itself: another group of the same topic gets
 * every message, and the time from send to listener is printed without and beside it.
 */
final class SlowConsumer implements Scenario {
    private static final int COUNT = 600;
    private final ConcurrentLinkedQueue<Long> latencies = new ConcurrentLinkedQueue<>();
    private DefaultMQProducer producer;
    private List<MessageQueue> queues;
    private Kit kit;

    @Override
    public void run(Kit kit) throws Exception {
        this.kit = kit;
        producer = kit.producer();
        queues = kit.createTopic(producer);
        DefaultMQPushConsumer quick = kit.pushConsumer(kit.group);
        quick.subscribe(kit.topic, "timed");
        quick.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            long now = System.nanoTime();
            messages.forEach(message ->
                latencies.add(now - Long.parseLong(message.getUserProperty("sent"))));
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        quick.start();
        measure(); // warms the code up
        String alone = measure();
        CountDownLatch forEver = new CountDownLatch(1);
        DefaultMQPushConsumer slow = kit.pushConsumer(kit.group + "_slow");
        slow.subscribe(kit.topic, "*");
        slow.setAwaitTerminationMillisWhenShutdown(0);
        slow.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            try {
                forEver.await();
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
            return ConsumeConcurrentlyStatus.RECONSUME_LATER;
        });
        slow.start();
        Thread.sleep(3_000);
        String beside = measure();
        Runner.note("send to listener, alone: " + alone + "; beside a group that never returns: "
            + beside);
        forEver.countDown();
    }

    /** One message every 5 ms; p50 and p99 in milliseconds. */
    private String measure() throws Exception {
        latencies.clear();
        for (int i = 0; i < COUNT; i++) {
            Message message = new Message(kit.topic, "timed", new byte[128]);
            message.putUserProperty("sent", String.valueOf(System.nanoTime()));
            producer.send(message, queues.get(i % queues.size()));
            Thread.sleep(5);
        }
        Check.within(60_000, "every message reaches the quick group", () ->
            latencies.size() >= COUNT);
        Check.same(COUNT, latencies.size(), "messages of the quick group");
        long[] sorted = latencies.stream().mapToLong(Long::longValue).toArray();
        Arrays.sort(sorted);
        return String.format("p50 %.1f p99 %.1f ms", sorted[COUNT / 2] / 1e6,
            sorted[COUNT * 99 / 100] / 1e6);
    }
}

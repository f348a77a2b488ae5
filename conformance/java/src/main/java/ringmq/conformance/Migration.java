package ringmq.conformance;

import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicBoolean;
import org.apache.rocketmq.client.consumer.DefaultMQPullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendStatus;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/**
 * docs/migration/migrate.sh moves a broker from Apache to RingMQ while a producer and a consumer
 * work: both carry on, and every acknowledged message is on RingMQ's broker and was consumed.
 */
final class Migration implements Scenario {
    private static final int BACK_WITHIN_MS = 120_000;
    private final Set<String> acknowledged = ConcurrentHashMap.newKeySet();
    private final Set<String> consumed = ConcurrentHashMap.newKeySet();
    private final AtomicBoolean isOver = new AtomicBoolean();

    @Override
    public void run(Kit kit) throws Exception {
        DefaultMQProducer producer = kit.producer();
        List<MessageQueue> queues = kit.createTopic(producer);
        consume(kit);
        Thread load = new Thread(() -> load(kit, producer), "load");
        load.setDaemon(true);
        load.start();
        Check.within(BACK_WITHIN_MS, "a load", () -> acknowledged.size() > 200);
        Runner.ask("migrate");
        int before = acknowledged.size();
        Runner.note(before + " messages acknowledged until RingMQ was the master");
        Check.within(BACK_WITHIN_MS, "the producer goes on", () -> {
            Kit.refreshRoute(producer, kit.topic);
            return acknowledged.size() > before + 200;
        });
        isOver.set(true);
        load.join(BACK_WITHIN_MS);
        Check.within(BACK_WITHIN_MS, "the consumer gets the rest",
            () -> consumed.containsAll(acknowledged));
        Set<String> stored = new HashSet<>();
        DefaultMQPullConsumer reader = kit.pullConsumer("R" + kit.group);
        for (MessageQueue queue : queues) {
            for (MessageExt message : Kit.readAll(reader, queue)) {
                stored.add(new String(message.getBody()));
            }
        }
        Set<String> lost = new HashSet<>(acknowledged);
        lost.removeAll(stored);
        Check.that(lost.isEmpty(), lost.size() + " acknowledged messages are lost: " + lost);
        Runner.note(acknowledged.size() + " messages, all on RingMQ, all consumed");
    }

    private void consume(Kit kit) throws Exception {
        DefaultMQPushConsumer consumer = kit.pushConsumer(kit.group);
        consumer.subscribe(kit.topic, "*");
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            messages.forEach(message -> consumed.add(new String(message.getBody())));
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
    }

    private void load(Kit kit, DefaultMQProducer producer) {
        for (int nth = 0; !isOver.get(); nth++) {
            String text = "message " + nth;
            try {
                Message message = new Message(kit.topic, "tag", text.getBytes());
                if (producer.send(message).getSendStatus() == SendStatus.SEND_OK) {
                    acknowledged.add(text);
                }
                Thread.sleep(2);
            } catch (InterruptedException over) {
                return;
            } catch (Exception notNow) {
                // The master takes no messages, or there is none: the next one may be taken.
            }
        }
    }
}

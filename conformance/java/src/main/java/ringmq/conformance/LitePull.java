package ringmq.conformance;

import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.apache.rocketmq.client.consumer.DefaultLitePullConsumer;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/** DefaultLitePullConsumer: subscribe and poll everything; assign, seek, offset by time, commit. */
final class LitePull implements Scenario {
    private static final int MESSAGES = 80;

    @Override
    public void run(Kit kit) throws Exception {
        DefaultMQProducer producer = kit.producer();
        List<MessageQueue> queues = kit.createTopic(producer);
        long start = System.currentTimeMillis();
        Thread.sleep(100);
        Set<String> ids = new HashSet<>();
        for (int i = 0; i < MESSAGES; i++) {
            Message message = new Message(kit.topic, "t", ("n" + i).getBytes());
            message.putUserProperty(Received.ID, "n" + i);
            producer.send(message, queues.get(i % 4));
            ids.add("n" + i);
        }
        subscribed(kit, ids);
        assigned(kit, queues.get(1), start);
    }

    private static void subscribed(Kit kit, Set<String> ids) throws Exception {
        DefaultLitePullConsumer consumer = create(kit, kit.group + "_sub");
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        consumer.subscribe(kit.topic, "*");
        consumer.start();
        Received received = new Received();
        long end = System.nanoTime() + 60_000_000_000L;
        while (received.distinct() < MESSAGES && System.nanoTime() < end) {
            consumer.poll(500).forEach(m -> received.add("c", m));
        }
        received.exactlyOnce(ids);
        consumer.shutdown();
    }

    private static void assigned(Kit kit, MessageQueue queue, long start) throws Exception {
        DefaultLitePullConsumer consumer = create(kit, kit.group + "_assign");
        consumer.start();
        consumer.assign(Set.of(queue));
        long first = consumer.offsetForTimestamp(queue, start);
        consumer.seek(queue, first);
        Check.same("n1", next(consumer), "first message from the offset of the start time");
        consumer.seek(queue, first + 10);
        Check.same("n41", next(consumer), "message after a seek by 10");
        consumer.seekToBegin(queue);
        Check.same("n1", nextWithId(consumer), "message after a seek to the begin");
        consumer.seek(queue, first + 5);
        Check.same("n21", next(consumer), "message after a seek back");
        consumer.commitSync();
        Check.within(5_000, "committed offset is past the last poll", () -> {
            try {
                Long committed = consumer.committed(queue);
                return committed != null && committed >= first + 6;
            } catch (Exception e) {
                return false;
            }
        });
    }

    private static DefaultLitePullConsumer create(Kit kit, String group) {
        DefaultLitePullConsumer consumer = new DefaultLitePullConsumer(group);
        consumer.setNamesrvAddr(kit.namesrv());
        consumer.setInstanceName(kit.instanceForOther());
        consumer.setAutoCommit(false);
        kit.closeLater(consumer::shutdown);
        return consumer;
    }

    private static String next(DefaultLitePullConsumer consumer) {
        return new String(poll(consumer).get(0).getBody());
    }

    private static String nextWithId(DefaultLitePullConsumer consumer) {
        while (true) {
            for (MessageExt message : poll(consumer)) {
                if (message.getUserProperty(Received.ID) != null) {
                    return new String(message.getBody());
                }
            }
        }
    }

    private static List<MessageExt> poll(DefaultLitePullConsumer consumer) {
        List<MessageExt> messages = consumer.poll(10_000);
        Check.that(!messages.isEmpty(), "nothing polled within 10 s");
        return messages;
    }
}

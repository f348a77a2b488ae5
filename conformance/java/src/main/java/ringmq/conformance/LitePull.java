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
        consumer.seekToBegin(queue);
        firstToTheEnd(consumer);
        consumer.seek(queue, first);
        Check.same("n1", firstToTheEnd(consumer),
            "first message from the offset of the start time");
        consumer.seek(queue, first + 10);
        Check.same("n41", firstToTheEnd(consumer), "message after a seek by 10");
        consumer.seekToBegin(queue);
        Check.same("n1", firstToTheEnd(consumer), "message after a seek to the begin");
        consumer.seek(queue, first + 5);
        Check.same("n21", firstToTheEnd(consumer), "message after a seek back");
        consumer.commitSync();
        Check.within(5_000, "committed offset is the queue's end", () -> {
            try {
                Long committed = consumer.committed(queue);
                return committed != null && committed == first + MESSAGES / 4;
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

    /**
     * The first message with an id, after which everything to the queue's last message is polled
     * and the client's pull task has had the time to come to rest in a long poll. A seek beside a
     * running pull task may go unheard: the task that it cancels can take the new offset on its way
     * out (DefaultLitePullConsumerImpl, 4.9.8 and 5.5.0 alike: nextPullOffset clears the seek's
     * offset before isCancelled is looked at).
     */
    private static String firstToTheEnd(DefaultLitePullConsumer consumer)
        throws InterruptedException {
        String first = null;
        while (true) {
            for (MessageExt message : poll(consumer)) {
                String id = message.getUserProperty(Received.ID);
                first = first == null ? id : first;
                if (("n" + (MESSAGES - 3)).equals(id)) {
                    Thread.sleep(300);
                    return first;
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

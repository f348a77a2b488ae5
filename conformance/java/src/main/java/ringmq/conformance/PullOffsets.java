package ringmq.conformance;

import java.util.Set;
import org.apache.rocketmq.client.consumer.DefaultMQPullConsumer;
import org.apache.rocketmq.client.consumer.PullResult;
import org.apache.rocketmq.client.consumer.PullStatus;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/**
 * DefaultMQPullConsumer: offsets by hand, by time, at and past the ends, committed and read back.
 */
final class PullOffsets implements Scenario {
    @Override
    public void run(Kit kit) throws Exception {
        DefaultMQProducer producer = kit.producer();
        MessageQueue queue = kit.createTopic(producer).get(3);
        DefaultMQPullConsumer consumer = start(kit);
        Check.same(0L, consumer.minOffset(queue), "minimum offset of an empty queue");
        long base = consumer.maxOffset(queue);
        send(producer, queue, 0, 50);
        Thread.sleep(300);
        long middle = System.currentTimeMillis();
        Thread.sleep(300);
        send(producer, queue, 50, 50);

        Check.same(base + 100, consumer.maxOffset(queue), "maximum offset after 100 sends");
        Check.within(5_000, "100 messages readable", () -> readable(consumer, queue, base) == 100);
        byTime(consumer, queue, base, middle);
        ends(consumer, queue, base);
        byTag(consumer, queue, base);
        committed(consumer, queue);
        longPolls(consumer, producer, queue);
    }

    private static DefaultMQPullConsumer start(Kit kit) throws Exception {
        DefaultMQPullConsumer consumer = new DefaultMQPullConsumer(kit.group);
        consumer.setNamesrvAddr(kit.namesrv());
        consumer.setInstanceName(kit.instanceForOther());
        consumer.setBrokerSuspendMaxTimeMillis(1_000);
        consumer.start();
        kit.closeLater(consumer::shutdown);
        return consumer;
    }

    private static void send(DefaultMQProducer producer, MessageQueue queue, int from, int count)
        throws Exception {
        for (int i = from; i < from + count; i++) {
            Message message = new Message(queue.getTopic(), i % 2 == 0 ? "even" : "odd", ("n" + i)
                .getBytes());
            message.putUserProperty(Received.ID, "n" + i);
            producer.send(message, queue);
        }
    }

    /** Follows nextBeginOffset from {@code base} to the end; bodies must come in order. */
    private static int readable(DefaultMQPullConsumer consumer, MessageQueue queue, long base) {
        try {
            long at = base;
            int seen = 0;
            while (true) {
                PullResult result = consumer.pull(queue, "*", at, 32);
                if (result.getPullStatus() != PullStatus.FOUND) {
                    return seen;
                }
                for (MessageExt message : result.getMsgFoundList()) {
                    Check.same("n" + seen, new String(message.getBody()), "body at "
                        + message.getQueueOffset());
                    Check.same(base + seen, message.getQueueOffset(), "queue offset");
                    seen++;
                }
                at = result.getNextBeginOffset();
                Check.same(base + seen, at, "next begin offset");
            }
        } catch (Check.Failed e) {
            throw e;
        } catch (Exception e) {
            throw new Check.Failed("pull: " + e);
        }
    }

    private static void byTime(DefaultMQPullConsumer consumer, MessageQueue queue, long base,
        long middle) throws Exception {
        Check.same(base + 50, consumer.searchOffset(queue, middle),
            "offset of the time between the halves");
        Check.same(0L, consumer.searchOffset(queue, middle - 3_600_000), "offset of an hour ago");
        long later = consumer.searchOffset(queue, System.currentTimeMillis() + 3_600_000);
        Check.between(base + 99, base + 100, later, "offset of an hour ahead");
        Runner.note("search past the end gives max" + (later == base + 100 ? "" : "-1"));
    }

    private static void ends(DefaultMQPullConsumer consumer, MessageQueue queue, long base)
        throws Exception {
        PullResult end = consumer.pull(queue, "*", base + 100, 32);
        Check.same(PullStatus.NO_NEW_MSG, end.getPullStatus(), "status at the end");
        Check.same(base + 100, end.getNextBeginOffset(), "next offset at the end");
        Check.same(0L, end.getMinOffset(), "minimum offset in the answer");
        Check.same(base + 100, end.getMaxOffset(), "maximum offset in the answer");
        PullResult past = consumer.pull(queue, "*", base + 5_000, 32);
        Check.same(PullStatus.OFFSET_ILLEGAL, past.getPullStatus(), "status far past the end");
        Check.same(base + 100, past.getNextBeginOffset(), "corrected offset");
        PullResult few = consumer.pull(queue, "*", base, 7);
        Check.same(7, few.getMsgFoundList().size(), "messages of a pull for 7");
    }

    private static void byTag(DefaultMQPullConsumer consumer, MessageQueue queue, long base)
        throws Exception {
        PullResult odd = consumer.pull(queue, "odd", base, 10);
        Check.same(PullStatus.FOUND, odd.getPullStatus(), "status of a pull by tag");
        Check.same(10, odd.getMsgFoundList().size(), "odd messages");
        Check.that(odd.getMsgFoundList().stream().allMatch(m -> "odd".equals(m.getTags())),
            "only odd messages");
        PullResult none = consumer.pull(queue, "nobody", base, 10);
        Check.same(PullStatus.NO_MATCHED_MSG, none.getPullStatus(), "status when no tag matches");
        Check.that(none.getNextBeginOffset() > base, "a pull without a match moves on: "
            + none.getNextBeginOffset());
    }

    private static void committed(DefaultMQPullConsumer consumer, MessageQueue queue)
        throws Exception {
        consumer.updateConsumeOffset(queue, 33);
        consumer.getOffsetStore().persistAll(Set.of(queue));
        Check.within(5_000, "offset 33 read back from the broker", () -> {
            try {
                return consumer.fetchConsumeOffset(queue, true) == 33;
            } catch (Exception e) {
                return false;
            }
        });
    }

    /** A long poll ends without a message after its time, and at once when a message arrives. */
    private static void longPolls(DefaultMQPullConsumer consumer, DefaultMQProducer producer,
        MessageQueue queue) throws Exception {
        long end = consumer.maxOffset(queue);
        long start = System.nanoTime();
        PullResult nothing = consumer.pullBlockIfNotFound(queue, "*", end, 32);
        long waitedMs = (System.nanoTime() - start) / 1_000_000;
        Check.same(PullStatus.NO_NEW_MSG, nothing.getPullStatus(),
            "status of a long poll that timed out");
        Check.between(900, 12_000, waitedMs, "milliseconds waited, of 1,000 asked");
        Runner.note("a long poll of 1 s took " + waitedMs + " ms");
        Thread sender = new Thread(() -> {
            try {
                Thread.sleep(300);
                send(producer, queue, 100, 1);
            } catch (Exception e) {
                e.printStackTrace();
            }
        });
        sender.start();
        PullResult found = consumer.pullBlockIfNotFound(queue, "*", end, 32);
        Check.same(PullStatus.FOUND, found.getPullStatus(),
            "status of a long poll that a message ended");
        sender.join();
    }
}

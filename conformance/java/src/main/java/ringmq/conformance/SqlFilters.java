package ringmq.conformance;

import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.IntPredicate;
import org.apache.rocketmq.client.consumer.DefaultLitePullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.MessageSelector;
import org.apache.rocketmq.client.consumer.PullResult;
import org.apache.rocketmq.client.consumer.PullStatus;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageQueue;

/**
 * MessageSelector.bySql with push, pull and lite pull consumers, over messages that are there and
 * over such that come while the consumer waits; an expression that can't be read is refused at the
 * consumer's start.
 */
final class SqlFilters implements Scenario {
    private static final int MESSAGES = 160;
    private static final String[] COLORS = {"red", "green", "blue"};
    private static final int SUBSCRIPTION_PARSE_FAILED = 23;
    /** A message too many would come within the time of a long poll's look. */
    private static final long SETTLE_MS = 1_500;

    /** An expression, and which messages it takes. */
    private enum Wanted {
        EVERYTHING("(n BETWEEN 20 AND 99 OR color IN ('red', 'blue')) AND size IS NOT NULL"
            + " AND NOT (flag = TRUE) AND name STARTSWITH 'm1' AND name NOT ENDSWITH '5'",
            n -> (n >= 20 && n <= 99 || n % 3 != 1) && n % 2 == 0 && n % 4 != 0
                && ("m" + n).startsWith("m1") && n % 10 != 5),
        /** Nothing compares with a property that is missing; half.5 is no whole number. */
        NULLS("size <> 3 OR size IS NULL AND half = 10.5", n -> n % 2 == 0 && n / 2 != 3 || n == 21),
        /** A comparison that fails takes nothing, wherever it stands. */
        FAILED("name > 5 OR n >= 0", n -> false);

        final String expression;
        final IntPredicate takes;

        Wanted(String expression, IntPredicate takes) {
            this.expression = expression;
            this.takes = takes;
        }

        Set<String> ids() {
            Set<String> ids = new TreeSet<>();
            for (int n = 0; n < MESSAGES; n++) {
                if (takes.test(n)) {
                    ids.add("n" + n);
                }
            }
            return ids;
        }
    }

    @Override
    public void run(Kit kit) throws Exception {
        DefaultMQProducer producer = kit.producer();
        List<MessageQueue> queues = kit.createTopic(producer);
        send(producer, queues, 0, MESSAGES / 2);
        List<Received> received = new ArrayList<>();
        for (Wanted wanted : Wanted.values()) {
            received.add(push(kit, wanted));
        }
        Set<String> stored = firstHalf(Wanted.EVERYTHING);
        Check.within(60_000, "what was stored before", () -> received.get(0).distinct() >= stored
            .size());
        send(producer, queues, MESSAGES / 2, MESSAGES); // into waiting polls
        for (Wanted wanted : Wanted.values()) {
            Received of = received.get(wanted.ordinal());
            Check.within(60_000, "all that " + wanted + " wants", () -> of.distinct() >= wanted.ids()
                .size());
        }
        Thread.sleep(SETTLE_MS);
        for (Wanted wanted : Wanted.values()) {
            received.get(wanted.ordinal()).exactlyOnce(wanted.ids());
        }
        pulled(kit, queues);
        litePulled(kit);
        refused(kit);
    }

    private static Set<String> firstHalf(Wanted wanted) {
        Set<String> ids = wanted.ids();
        ids.removeIf(id -> Integer.parseInt(id.substring(1)) >= MESSAGES / 2);
        return ids;
    }

    private static void send(DefaultMQProducer producer, List<MessageQueue> queues, int from, int to)
        throws Exception {
        for (int n = from; n < to; n++) {
            MessageQueue queue = queues.get(n % queues.size());
            Message message = new Message(queue.getTopic(), "t", ("n" + n).getBytes());
            message.putUserProperty(Received.ID, "n" + n);
            message.putUserProperty("n", String.valueOf(n));
            message.putUserProperty("color", COLORS[n % 3]);
            message.putUserProperty("flag", String.valueOf(n % 4 == 0));
            message.putUserProperty("name", "m" + n);
            if (n % 2 == 0) {
                message.putUserProperty("size", String.valueOf(n / 2));
            } else {
                message.putUserProperty("half", n / 2 + ".5");
            }
            producer.send(message, queue);
        }
    }

    private static Received push(Kit kit, Wanted wanted) throws Exception {
        Received received = new Received();
        DefaultMQPushConsumer consumer = kit.pushConsumer(kit.group + "_" + wanted);
        consumer.subscribe(kit.topic, MessageSelector.bySql(wanted.expression));
        consumer.registerMessageListener(received.listener("push"));
        consumer.start();
        return received;
    }

    private static void pulled(Kit kit, List<MessageQueue> queues) throws Exception {
        DefaultMQPullConsumer consumer = pullConsumer(kit, queues.get(0));
        MessageSelector selector = MessageSelector.bySql(Wanted.NULLS.expression);
        Received received = new Received();
        for (MessageQueue queue : queues) {
            long at = consumer.minOffset(queue);
            while (at < consumer.maxOffset(queue)) {
                PullResult result = consumer.pull(queue, selector, at, 5);
                if (result.getPullStatus() == PullStatus.FOUND) {
                    result.getMsgFoundList().forEach(m -> received.add("pull", m));
                } else {
                    Check.same(PullStatus.NO_MATCHED_MSG, result.getPullStatus(),
                        "status of a pull that found nothing");
                }
                Check.that(result.getNextBeginOffset() > at, "a pull moves on from " + at);
                at = result.getNextBeginOffset();
            }
        }
        received.exactlyOnce(Wanted.NULLS.ids());
    }

    /** A client refuses SQL92 by itself until a heartbeat has told it the broker's version. */
    private static DefaultMQPullConsumer pullConsumer(Kit kit, MessageQueue queue)
        throws Exception {
        DefaultMQPullConsumer consumer = new DefaultMQPullConsumer(kit.group + "_pull");
        consumer.setNamesrvAddr(kit.namesrv());
        consumer.setInstanceName(kit.instanceForOther());
        consumer.setHeartbeatBrokerInterval(1_000);
        kit.closeLater(consumer::shutdown);
        consumer.start();
        Check.within(60_000, "a pull by SQL92", () -> {
            try {
                consumer.pull(queue, MessageSelector.bySql("TRUE"), 0, 1);
                return true;
            } catch (MQClientException e) {
                Check.that(e.getMessage().contains("does not upgrade"), e.getMessage());
                return false;
            } catch (Exception e) {
                throw new Check.Failed("pull: " + e);
            }
        });
        return consumer;
    }

    private static void litePulled(Kit kit) throws Exception {
        DefaultLitePullConsumer consumer = new DefaultLitePullConsumer(kit.group + "_lite");
        consumer.setNamesrvAddr(kit.namesrv());
        consumer.setInstanceName(kit.instanceForOther());
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        kit.closeLater(consumer::shutdown);
        consumer.subscribe(kit.topic, MessageSelector.bySql(Wanted.EVERYTHING.expression));
        consumer.start();
        Received received = new Received();
        Set<String> ids = Wanted.EVERYTHING.ids();
        long end = System.nanoTime() + 60_000_000_000L;
        while (received.distinct() < ids.size() && System.nanoTime() < end) {
            consumer.poll(500).forEach(m -> received.add("lite", m));
        }
        consumer.poll(SETTLE_MS).forEach(m -> received.add("lite", m));
        received.exactlyOnce(ids);
    }

    private static void refused(Kit kit) throws Exception {
        for (String wrong : List.of("n >", "n IN (1)", "n > 'x'", "n BETWEEN 3 AND 1", "n = 1 ;")) {
            DefaultMQPushConsumer consumer = kit.pushConsumer(kit.group + "_refused");
            consumer.subscribe(kit.topic, MessageSelector.bySql(wrong));
            consumer.registerMessageListener(new Received().listener("refused"));
            try {
                consumer.start();
                throw new Check.Failed("a consumer with \"" + wrong + "\" starts");
            } catch (MQClientException e) {
                Check.same(SUBSCRIPTION_PARSE_FAILED, e.getResponseCode(), "code for " + wrong);
                if (Kit.AGAINST_RINGMQ) {
                    Check.that(e.getErrorMessage().contains("at character "), "the place in "
                        + e.getErrorMessage());
                }
            }
        }
    }
}

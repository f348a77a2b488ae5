package ringmq.conformance;

import java.util.HashSet;
import java.util.Set;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.producer.TransactionMQProducer;
import org.apache.rocketmq.common.message.MessageExt;

/**
 * Transactions of a stock producer: what is committed comes once, what is rolled back never. What
 * the producer does not know yet the broker asks: of that producer, of another one of its group
 * when it is gone, and after the broker was killed between the two phases.
 */
final class Transactions implements Scenario {
    private static final int OF_EACH = 8;
    /** transactionTimeOut 5 s and transactionCheckInterval 3 s, on a busy machine. */
    private static final long ASKED_MS_MAX = 60_000;
    private static final String MAKER = Kit.AGAINST_RINGMQ ? "ringmq" : "apache";

    private final Decisions decisions = new Decisions();
    private final Received received = new Received();

    @Override
    public void run(Kit kit) throws Exception {
        kit.createTopic(kit.producer());
        DefaultMQPushConsumer consumer = kit.pushConsumer(kit.group);
        consumer.subscribe(kit.topic, "*");
        consumer.registerMessageListener(received.listener("one"));
        consumer.start();
        TransactionMQProducer first = kit.transactionProducer(decisions);
        known(kit, first);
        asked(kit, first);
        anotherIsAsked(kit, first);
        TransactionMQProducer last = kit.transactionProducer(decisions);
        brokerIsKilled(kit, last);
        Thread.sleep(8_000); // what must not come, or not again, has had its chance
        received.exactly(new HashSet<>(decisions.ids(true)));
        // Apache forgets the ends of up to 3 s, and how far it was, when it is killed: it asks
        // again, and stores again.
        int most = Kit.AGAINST_RINGMQ ? 0 : Integer.MAX_VALUE;
        Check.between(0, most, received.duplicates(), "duplicates");
        Check.between(0, most, decisions.askedTooMuch(), "questions about what had ended");
        for (String id : decisions.ids(true)) {
            asItWas(received.first(id), decisions.of(id));
        }
        Runner.note(decisions.ids(true).size() + " committed, " + decisions.ids(false).size()
            + " rolled back, " + received.duplicates() + " twice after a kill");
    }

    /** The producer knows at once. */
    private void known(Kit kit, TransactionMQProducer producer) throws Exception {
        decisions.send(producer, kit.topic, OF_EACH, true, 0);
        decisions.send(producer, kit.topic, OF_EACH, false, 0);
        committedCome("what was committed at once");
    }

    /** The producer knows when it is asked. */
    private void asked(Kit kit, TransactionMQProducer producer) throws Exception {
        decisions.phase(1);
        decisions.send(producer, kit.topic, OF_EACH, true, 1);
        decisions.send(producer, kit.topic, OF_EACH, false, 1);
        committedCome("what was committed when the broker asked");
    }

    /** The producer is gone; another of its group is asked. */
    private void anotherIsAsked(Kit kit, TransactionMQProducer producer) throws Exception {
        decisions.send(producer, kit.topic, OF_EACH, true, 2);
        producer.shutdown();
        TransactionMQProducer other = kit.transactionProducer(decisions);
        decisions.phase(2);
        // Clients since 5.0 tell a broker of their group when they have sent something there.
        decisions.send(other, kit.topic, OF_EACH, true, 0);
        committedCome("what another producer of the group committed");
        other.shutdown();
    }

    /** The broker is killed between the phases. */
    private void brokerIsKilled(Kit kit, TransactionMQProducer producer) throws Exception {
        decisions.send(producer, kit.topic, OF_EACH, true, 3);
        decisions.send(producer, kit.topic, OF_EACH, false, 3);
        decisions.send(producer, kit.topic, OF_EACH, true, 0);
        // What the client says one-way has arrived.
        Check.within(20_000, "what was committed before the kill", () ->
            decisions.ids(true).stream()
                .allMatch(id -> decisions.of(id).phase == 3 || received.has(id)));
        Runner.ask("kill-broker");
        Runner.ask("start-broker " + MAKER);
        decisions.phase(3);
        committedCome("what was committed after the broker was killed");
    }

    private void committedCome(String what) throws Exception {
        Check.within(ASKED_MS_MAX, what, () -> {
            Set<String> expected = new HashSet<>(decisions.ids(true));
            return expected.stream().allMatch(received::has);
        });
    }

    private static void asItWas(MessageExt message, Decisions.Decision decision) {
        String id = message.getUserProperty(Received.ID);
        Check.same(id, new String(message.getBody()), "body of " + id);
        // Apache loses the flag when it asks.
        if (Kit.AGAINST_RINGMQ || decision.asked.get() == 0) {
            Check.same(42, message.getFlag(), "flag of " + id);
        }
        Check.same("key-" + id, message.getKeys(), "keys of " + id);
        Check.same(null, message.getProperty("REAL_TOPIC"), "REAL_TOPIC of " + id);
        Check.same(8, message.getSysFlag() & 12, "transaction bits of " + id);
        Check.that(message.getPreparedTransactionOffset() > 0, "place of the half of " + id);
        Check.same(message.getProperty("UNIQ_KEY"), message.getProperty("__transactionId__"),
            "transaction of " + id);
    }
}

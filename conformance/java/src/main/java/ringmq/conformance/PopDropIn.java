package ringmq.conformance;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.stream.Collectors;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageQueue;
import ringmq.conformance.PopKit.Popped;

/**
 * Popped messages that are out while a store changes hands between Apache's broker and RingMQ's:
 * the other takes acknowledgements with the receipts of the one, and what nobody acknowledged comes
 * from the other. What comes although it was acknowledged is counted: Apache's broker brings some
 * again after its own clean stop. Ends by SIGTERM; against Apache its own broker takes the visit.
 */
final class PopDropIn implements Scenario {
    private static final int MESSAGES = 60;
    private static final long INVISIBLE_MS = 75_000;
    private static final String VISITOR = Kit.AGAINST_RINGMQ ? "ringmq" : "apache";

    private final Set<String> acknowledged = new TreeSet<>();
    private int again;
    private Kit kit;
    private DefaultMQProducer producer;

    @Override
    public void run(Kit kit) throws Exception {
        this.kit = kit;
        producer = kit.producer();
        List<MessageQueue> queues = kit.createTopic(producer);
        popUntil(1, 60_000).values().forEach(this::ack);
        Set<String> sent = new TreeSet<>();
        for (int i = 0; i < MESSAGES; i++) {
            Message message = new Message(kit.topic, "t", ("body " + i).getBytes());
            message.putUserProperty(Received.ID, "p" + i);
            producer.send(message, queues.get(i % queues.size()));
            sent.add("p" + i);
        }
        // Out at Apache: a third is acknowledged here, a third by the visitor, a third by nobody.
        List<Popped> out = new ArrayList<>(popUntil(MESSAGES, INVISIBLE_MS).values());
        out.subList(0, 20).forEach(this::ack);
        change("apache", VISITOR);
        out.subList(20, 40).forEach(this::ack);
        Set<String> left = out.subList(40, 60).stream().map(Popped::id)
            .collect(Collectors.toCollection(TreeSet::new));
        Map<String, Popped> revived = popUntil(left.size(), INVISIBLE_MS);
        Check.same(left, new TreeSet<>(revived.keySet()), "messages that the visitor revives");
        // Out at the visitor: the same again.
        List<Popped> second = new ArrayList<>(revived.values());
        second.subList(0, 6).forEach(this::ack);
        change(VISITOR, "apache");
        second.subList(6, 12).forEach(this::ack);
        Set<String> last = second.subList(12, 20).stream().map(Popped::id)
            .collect(Collectors.toCollection(TreeSet::new));
        Map<String, Popped> third = popUntil(last.size(), 60_000);
        Check.same(last, new TreeSet<>(third.keySet()), "messages that Apache revives");
        third.values().forEach(popped ->
            Check.same(2, popped.message.getReconsumeTimes(), "attempts of " + popped.id()));
        Runner.note(acknowledged.size() + " acknowledged by four hands, " + again + " came again");
        Check.that(again <= acknowledged.size() / 2, "more came again than a visit explains");
    }

    private void change(String from, String to) throws Exception {
        Thread.sleep(2_000); // offsets and timers go into their files
        Runner.ask("end-broker");
        Runner.ask("start-broker " + to);
        Check.within(60_000, "the broker answers", () -> {
            try {
                PopKit.answer(producer, address(), kit, 1_000, 0, 0);
                return true;
            } catch (Exception e) {
                return false;
            }
        });
    }

    private static String address() {
        return Kit.brokers().values().iterator().next();
    }

    private void ack(Popped popped) {
        PopKit.ack(producer, address(), kit, popped);
        acknowledged.add(String.valueOf(popped.id()));
    }

    /** Pops until so many have come that are not acknowledged. */
    private Map<String, Popped> popUntil(int count, long invisibleMs)
        throws InterruptedException {
        Map<String, Popped> all = new TreeMap<>();
        Map.Entry<String, String> broker = Kit.brokers().entrySet().iterator().next();
        Check.within(INVISIBLE_MS + 60_000, count + " messages", () -> {
            for (Popped popped : PopKit.pop(producer, broker, kit, invisibleMs)) {
                String id = String.valueOf(popped.id());
                if (acknowledged.contains(id)) {
                    again++;
                } else {
                    all.put(id, popped);
                }
            }
            return all.size() >= count;
        });
        return all;
    }
}

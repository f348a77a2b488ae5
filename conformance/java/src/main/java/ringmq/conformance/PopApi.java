package ringmq.conformance;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageQueue;
import org.apache.rocketmq.remoting.protocol.RemotingCommand;
import ringmq.conformance.PopKit.Popped;

/**
 * POP's requests one by one: each message is handed out once; what is acknowledged never comes
 * again, what is not comes from its retry topic, once more counted; another invisible time; a long
 * poll; receipts that are none.
 */
final class PopApi implements Scenario {
    private static final int MESSAGES = 40;
    private static final long INVISIBLE_MS = 8_000;

    @Override
    public void run(Kit kit) throws Exception {
        DefaultMQProducer producer = kit.producer();
        List<MessageQueue> queues = kit.createTopic(producer);
        drain(kit, producer);
        Set<String> sent = new TreeSet<>();
        for (int i = 0; i < MESSAGES; i++) {
            Message message = new Message(kit.topic, "t", ("body " + i).getBytes());
            message.putUserProperty(Received.ID, "p" + i);
            producer.send(message, queues.get(i % queues.size()));
            sent.add("p" + i);
        }
        Set<String> lost = handOut(kit, producer, sent);
        comeAgain(kit, producer, lost);
        longPoll(kit, producer, queues.get(0));
    }

    /** The message that made the topic. */
    private static void drain(Kit kit, DefaultMQProducer producer) {
        for (Map.Entry<String, String> broker : Kit.brokers().entrySet()) {
            for (Popped popped : PopKit.pop(producer, broker, kit, 60_000)) {
                PopKit.ack(producer, broker.getValue(), kit, popped);
            }
        }
    }

    /** Every fourth is not acknowledged; of these one comes sooner. */
    private static Set<String> handOut(Kit kit, DefaultMQProducer producer, Set<String> sent)
        throws Exception {
        Set<String> lost = new HashSet<>();
        Set<String> seen = new TreeSet<>();
        Check.within(30_000, "all are handed out", () -> {
            for (Map.Entry<String, String> broker : Kit.brokers().entrySet()) {
                for (Popped popped : PopKit.pop(producer, broker, kit, INVISIBLE_MS)) {
                    Check.that(seen.add(popped.id()), popped.id() + " is handed out twice");
                    Check.same(0, popped.message.getReconsumeTimes(), "attempts before");
                    if (seen.size() % 4 == 0) {
                        lost.add(popped.id());
                    } else {
                        PopKit.ack(producer, broker.getValue(), kit, popped);
                    }
                }
            }
            return seen.size() >= sent.size();
        });
        Check.same(sent, seen, "messages");
        return lost;
    }

    private static void comeAgain(Kit kit, DefaultMQProducer producer, Set<String> lost)
        throws Exception {
        Set<String> again = new TreeSet<>();
        List<String> strange = new ArrayList<>();
        Check.within(60_000, "what was not acknowledged", () -> {
            for (Map.Entry<String, String> broker : Kit.brokers().entrySet()) {
                for (Popped popped : PopKit.pop(producer, broker, kit, 60_000)) {
                    if (!lost.contains(popped.id()) || !again.add(popped.id())) {
                        strange.add(popped.id());
                    }
                    Check.same(1, popped.message.getReconsumeTimes(), "attempts before");
                    Check.same(kit.topic, popped.message.getTopic(), "topic");
                    refusals(kit, producer, broker.getValue(), popped);
                    PopKit.ack(producer, broker.getValue(), kit, popped);
                }
            }
            return again.size() >= lost.size();
        });
        Thread.sleep(4_000); // what must not come has had its chance
        Check.same(new TreeSet<>(lost), again, "messages that came again");
        Check.that(strange.isEmpty(), "came too often: " + strange);
        Runner.note(again.size() + " of " + MESSAGES + " came again, each once");
    }

    private static void refusals(Kit kit, DefaultMQProducer producer, String address,
        Popped popped) {
        Popped none = new Popped(popped.message, popped.topic, "x");
        Check.same(1, PopKit.with(producer, address, PopKit.ACK, kit, none, Map.of()).getCode(),
            "answer to what is no receipt");
        Popped unknown = new Popped(popped.message, popped.topic + "x", popped.receipt);
        Check.same(17, PopKit.with(producer, address, PopKit.ACK, kit, unknown, Map.of()).getCode(),
            "answer to an unknown topic");
    }

    private static void longPoll(Kit kit, DefaultMQProducer producer, MessageQueue queue)
        throws Exception {
        String address = Kit.brokers().get(queue.getBrokerName());
        RemotingCommand none = PopKit.answer(producer, address, kit, 60_000, 500, 32);
        Check.same(PopKit.POLLING_TIMEOUT, none.getCode(), "answer to a long poll in vain");
        Thread sender = new Thread(() -> {
            try {
                Thread.sleep(1_000);
                Message message = new Message(kit.topic, "t", "late".getBytes());
                message.putUserProperty(Received.ID, "late");
                producer.send(message, queue);
            } catch (Exception e) {
                throw new IllegalStateException(e);
            }
        });
        sender.start();
        RemotingCommand found = PopKit.answer(producer, address, kit, 60_000, 4_000, 32);
        Check.same(0, found.getCode(), "answer to a long poll");
        sender.join();
    }
}

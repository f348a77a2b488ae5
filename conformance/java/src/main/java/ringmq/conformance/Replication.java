package ringmq.conformance;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.apache.rocketmq.client.consumer.DefaultMQPullConsumer;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.client.producer.SendStatus;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/**
 * A broker of one maker follows one of the other: both logs have the same bytes, from a log of many
 * files on, while messages come, after the slave was killed and after the master was. A slave of
 * RingMQ is also cut: Apache's master, which has no epochs, goes back to an older state of its store
 * and on with other messages. Then the slave is started again as the master, and clients carry on:
 * every acknowledged message is there, and a group goes on where it was.
 */
final class Replication implements Scenario {
    private static final int BACK_WITHIN_MS = 90_000;
    private final String master;
    private final String slave;
    private final Set<String> acknowledged = new HashSet<>();
    /** Acknowledged by a master that has lost them since. */
    private final Set<String> takenBack = new HashSet<>();
    private Kit kit;
    private DefaultMQProducer producer;

    Replication(String master, String slave) {
        this.master = master;
        this.slave = slave;
    }

    @Override
    public void run(Kit kit) throws Exception {
        this.kit = kit;
        producer = kit.producer();
        if (master.equals("ringmq")) {
            Runner.ask("switch-broker ringmq");
        }
        List<MessageQueue> queues = kit.createTopic(producer);
        acknowledged.add("first");
        send(300);
        Runner.ask("start-slave " + slave);
        Runner.note("from the beginning " + Runner.ask("same-logs"));
        send(100);
        Runner.ask("same-logs");
        Runner.ask("kill-slave");
        send(100);
        Runner.ask("start-slave " + slave);
        Runner.note("after a killed slave " + Runner.ask("same-logs"));
        Runner.ask("kill-broker");
        boolean goesBack = slave.equals("ringmq");
        if (goesBack) {
            Runner.ask("keep-store");
        }
        Set<String> kept = new HashSet<>(acknowledged);
        Runner.ask("start-broker " + master);
        send(100);
        Runner.note("after a killed master " + Runner.ask("same-logs"));
        if (goesBack) {
            goBackTo(kept);
        }

        commit(queues);
        Runner.ask("slave-has-group " + kit.group);
        Runner.ask("same-logs");
        Runner.ask("end-broker");
        Runner.ask("promote-slave " + slave);
        carryOn(queues);
    }

    /**
     * The master's log has other messages than the slave's from a place on that neither of both was
     * told, and is longer than the slave's.
     */
    private void goBackTo(Set<String> kept) throws Exception {
        Runner.ask("kill-slave");
        Runner.ask("kill-broker");
        Runner.ask("put-back-store");
        takenBack.addAll(acknowledged);
        takenBack.removeAll(kept);
        acknowledged.retainAll(kept);
        Runner.ask("start-broker " + master);
        send(150);
        Runner.ask("start-slave " + slave);
        Runner.note(Runner.ask("slave-said this log is cut from"));
        Runner.note("after the master went back " + Runner.ask("same-logs"));
    }

    /** Says where the group is, until the broker says the same. */
    private void commit(List<MessageQueue> queues) throws Exception {
        DefaultMQPullConsumer consumer = kit.pullConsumer(kit.group);
        for (MessageQueue queue : queues) {
            Check.within(BACK_WITHIN_MS, "the offset of " + queue, () -> {
                try {
                    // Apache refuses offsets of a group that it has not met; a pull makes it.
                    consumer.pull(queue, "*", 0, 1);
                    consumer.updateConsumeOffset(queue, 5 + queue.getQueueId());
                    consumer.getDefaultMQPullConsumerImpl().getOffsetStore().persistAll(Set.of(queue));
                    return consumer.fetchConsumeOffset(queue, true) == 5 + queue.getQueueId();
                } catch (Exception notNow) {
                    return false;
                }
            });
        }
    }

    private void carryOn(List<MessageQueue> queues) throws Exception {
        Check.within(BACK_WITHIN_MS, "sends go to the new master", () -> {
            Kit.refreshRoute(producer, kit.topic);
            return sent("to the new master");
        });
        send(50);
        DefaultMQPullConsumer consumer = kit.pullConsumer(kit.group);
        List<String> found = new ArrayList<>();
        for (MessageQueue queue : queues) {
            for (MessageExt message : Kit.readAll(consumer, queue)) {
                found.add(new String(message.getBody()).replaceAll("x+$", ""));
            }
            long offset = consumer.fetchConsumeOffset(queue, true);
            Check.same(5L + queue.getQueueId(), offset, "where the group was in " + queue);
        }
        Set<String> lost = new HashSet<>(acknowledged);
        lost.removeAll(new HashSet<>(found));
        Check.that(lost.isEmpty(), lost.size() + " acknowledged messages are lost: " + lost);
        Set<String> stale = new HashSet<>(found);
        stale.retainAll(takenBack);
        Check.that(stale.isEmpty(), "the master has lost them, the slave serves them: " + stale);
        Runner.note(acknowledged.size() + " messages, all on the slave that became the master");
    }

    private void send(int count) throws Exception {
        for (int i = 0; i < count; i++) {
            String text = (acknowledged.size() + takenBack.size()) + " ";
            Check.within(BACK_WITHIN_MS, "a send", () -> sent(text));
        }
    }

    private boolean sent(String text) {
        try {
            String body = text + "x".repeat(900);
            SendResult result = producer.send(new Message(kit.topic, "tag", body.getBytes()));
            if (result.getSendStatus() == SendStatus.SEND_OK) {
                acknowledged.add(text);
                return true;
            }
            return false;
        } catch (Exception notNow) {
            return false;
        }
    }
}

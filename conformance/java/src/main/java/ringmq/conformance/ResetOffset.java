package ringmq.conformance;

import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageQueue;

/**
 * mqadmin's resetOffsetByTime moves a push consumer back in time while it runs, and a group without
 * consumers before it starts again; skipAccumulatedMessage moves it to the end.
 */
final class ResetOffset implements Scenario {
    private static final int COUNT = 24;
    private DefaultMQProducer producer;
    private List<MessageQueue> queues;
    private Kit kit;

    @Override
    public void run(Kit kit) throws Exception {
        this.kit = kit;
        producer = kit.producer();
        queues = kit.createTopic(producer);
        Set<String> early = send("early");
        Thread.sleep(1_500);
        long between = System.currentTimeMillis();
        Thread.sleep(1_500);
        Set<String> late = send("late");
        online(early, late, between);
        offline(early, late, between);
        skipped();
    }

    private Set<String> send(String name) throws Exception {
        Set<String> ids = new TreeSet<>();
        for (int i = 0; i < COUNT; i++) {
            Message message = new Message(kit.topic, "tag", (name + i).getBytes());
            message.putUserProperty(Received.ID, name + i);
            ids.add(name + i);
            producer.send(message, queues.get(i % queues.size()));
        }
        return ids;
    }

    private DefaultMQPushConsumer consumer(Received received) throws Exception {
        DefaultMQPushConsumer consumer = kit.pushConsumer(kit.group);
        consumer.subscribe(kit.topic, "tag");
        consumer.setPersistConsumerOffsetInterval(1_000);
        consumer.registerMessageListener((MessageListenerConcurrently) received.listener("one"));
        consumer.start();
        return consumer;
    }

    private String named(String command) {
        return command + " -g " + kit.group + " -t " + kit.topic;
    }

    private void online(Set<String> early, Set<String> late, long between) throws Exception {
        Received received = new Received();
        DefaultMQPushConsumer consumer = consumer(received);
        Check.within(60_000, "everything is consumed", () -> received.distinct() >= 2 * COUNT);
        Thread.sleep(2_500); // its offsets are committed
        String broker = queues.get(0).getBrokerName();
        Tools.prints(named("resetOffsetByTime -s " + between), broker + "\\s+0\\s+\\d+");
        long asked = System.currentTimeMillis();
        Check.within(90_000, "what came after the time comes again", () ->
            late.stream().allMatch(id -> received.times(id) >= 2));
        Runner.note("online: again after " + (System.currentTimeMillis() - asked) + " ms");
        Thread.sleep(3_000);
        for (String id : early) {
            Check.same(1, received.times(id), "online: deliveries of " + id);
        }
        for (String id : late) {
            Check.same(2, received.times(id), "online: deliveries of " + id);
        }
        consumer.shutdown();
        Thread.sleep(1_500);
    }

    private void offline(Set<String> early, Set<String> late, long between) throws Exception {
        Tools.prints(named("resetOffsetByTime -s " + between), "#offset");
        Received some = new Received();
        DefaultMQPushConsumer consumer = consumer(some);
        Check.within(90_000, "offline: what came after the time comes again", () ->
            some.distinct() >= COUNT);
        Thread.sleep(3_000);
        some.exactlyOnce(late);
        consumer.shutdown();
        Thread.sleep(1_500);
        Tools.prints(named("resetOffsetByTime -s 0"), "#offset");
        Received all = new Received();
        consumer = consumer(all);
        Check.within(90_000, "offline: everything comes again", () ->
            all.distinct() >= 2 * COUNT);
        Thread.sleep(3_000);
        Set<String> both = new TreeSet<>(early);
        both.addAll(late);
        all.exactlyOnce(both);
        consumer.shutdown();
        Thread.sleep(1_500);
    }

    private void skipped() throws Exception {
        send("skipped");
        Tools.prints(named("skipAccumulatedMessage"), "#offset|Offset");
        Received received = new Received();
        DefaultMQPushConsumer consumer = consumer(received);
        Thread.sleep(3_000);
        Set<String> last = send("last");
        Check.within(90_000, "what comes after the skip", () -> received.distinct() >= COUNT);
        Thread.sleep(2_000);
        received.exactlyOnce(last);
        consumer.shutdown();
    }
}

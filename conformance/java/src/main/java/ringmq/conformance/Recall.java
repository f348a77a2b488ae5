package ringmq.conformance;

import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageQueue;
import org.apache.rocketmq.remoting.protocol.RemotingCommand;

/**
 * RECALL_MESSAGE: a timer message that is recalled never comes, its neighbours of the same second
 * do; what is no handle, of another topic or broker, or out of time is refused.
 */
final class Recall implements Scenario {
    private static final int MESSAGES = 12;
    private static final int DELAY_MS = 8_000;

    @Override
    public void run(Kit kit) throws Exception {
        DefaultMQProducer producer = kit.producer();
        List<MessageQueue> queues = kit.createTopic(producer);
        Received received = new Received();
        DefaultMQPushConsumer consumer = kit.pushConsumer(kit.group);
        consumer.subscribe(kit.topic, "tag");
        consumer.registerMessageListener((MessageListenerConcurrently) received.listener("one"));
        consumer.start();
        long due = System.currentTimeMillis() + DELAY_MS;
        Map<String, String> handles = new TreeMap<>();
        Map<String, MessageQueue> sent = new TreeMap<>();
        for (int i = 0; i < MESSAGES; i++) {
            String id = "r" + i;
            MessageQueue queue = queues.get(i % queues.size());
            Message message = TimerKit.message(kit.topic, id, "TIMER_DELIVER_MS", due);
            SendResult result = TimerKit.send(producer, message, queue);
            String own =
                TimerKit.handle(kit.topic, queue.getBrokerName(), due, result.getMsgId());
            String handle = TimerKit.handleOf(result, own);
            Check.same(own, handle, "handle of " + id);
            handles.put(id, handle);
            sent.put(id, queue);
        }
        Set<String> stay = new HashSet<>(handles.keySet());
        for (String id : List.of("r1", "r4", "r7")) {
            RemotingCommand answer = TimerKit.recall(producer, TimerKit.address(sent.get(id)),
                kit.topic, handles.get(id));
            Check.same(0, answer.getCode(), "recall of " + id + ": " + answer.getRemark());
            Check.that(answer.getExtFields().get("msgId") != null, "no msgId for " + id);
            stay.remove(id);
        }
        refusals(kit, producer, sent.get("r0"), due);
        Check.within(DELAY_MS + 40_000, "those that were not recalled",
            () -> received.distinct() >= stay.size());
        Thread.sleep(3_000); // what was recalled has had its chance
        received.exactlyOnce(stay);
        Runner.note((MESSAGES - stay.size()) + " of " + MESSAGES + " recalled");
    }

    private static void refusals(Kit kit, DefaultMQProducer producer, MessageQueue queue, long due)
        throws Exception {
        String broker = queue.getBrokerName();
        String address = TimerKit.address(queue);
        List<String> handles = List.of("nothing",
            TimerKit.handle("other", broker, due, "k"),
            TimerKit.handle(kit.topic, "other", due, "k"),
            TimerKit.handle(kit.topic, broker, due - 3_600_000, "k"),
            TimerKit.handle(kit.topic, broker, due + 4 * 86_400_000L, "k"));
        for (String handle : handles) {
            int code = TimerKit.recall(producer, address, kit.topic, handle).getCode();
            Check.same(TimerKit.ILLEGAL_OPERATION, code, "answer to handle " + handle);
        }
        String unknown = TimerKit.handle(kit.topic + "x", broker, due, "k");
        int code = TimerKit.recall(producer, address, kit.topic + "x", unknown).getCode();
        Check.same(17, code, "answer to an unknown topic");
    }
}

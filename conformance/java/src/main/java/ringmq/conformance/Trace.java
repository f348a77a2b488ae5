package ringmq.conformance;

import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/**
 * Clients with message trace on write it into RMQ_SYS_TRACE_TOPIC, which their first send creates.
 * mqadmin's queryMsgTraceById finds by a message's id who sent it and who consumed it.
 */
final class Trace implements Scenario {
    private static final String TOPIC = "RMQ_SYS_TRACE_TOPIC";
    private static final int COUNT = 12;

    @Override
    public void run(Kit kit) throws Exception {
        DefaultMQProducer plain = kit.producer();
        List<MessageQueue> queues = kit.createTopic(plain);
        DefaultMQProducer producer = new DefaultMQProducer("PT_" + kit.group, true, null);
        producer.setNamesrvAddr(kit.namesrv());
        producer.setInstanceName(kit.instanceForOther());
        producer.setClientIP(Kit.LOOPBACK);
        producer.setSendMsgTimeout(10_000);
        producer.start();
        kit.closeLater(producer::shutdown);
        DefaultMQPushConsumer consumer =
            new DefaultMQPushConsumer(kit.group, true, null);
        consumer.setNamesrvAddr(kit.namesrv());
        consumer.setInstanceName(kit.instanceForOther());
        consumer.setClientIP(Kit.LOOPBACK);
        consumer.setHeartbeatBrokerInterval(5_000);
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        consumer.subscribe(kit.topic, "traced");
        Received received = new Received();
        consumer.registerMessageListener((MessageListenerConcurrently) received.listener("one"));
        consumer.start();
        kit.closeLater(consumer::shutdown);
        List<SendResult> sent = new ArrayList<>();
        Set<String> ids = new TreeSet<>();
        for (int i = 0; i < COUNT; i++) {
            Message message = new Message(kit.topic, "traced", "key" + i, ("n" + i).getBytes());
            message.putUserProperty(Received.ID, "n" + i);
            ids.add("n" + i);
            sent.add(producer.send(message, queues.get(i % queues.size())));
        }
        Check.within(60_000, "all are consumed", () -> received.distinct() >= COUNT);
        received.exactly(ids);
        for (SendResult one : sent) {
            Check.within(60_000, "trace of " + one.getMsgId() + ": sent and consumed", () -> {
                String trace = trace(plain, one.getMsgId());
                return trace.contains("Pub") && trace.contains("SubAfter");
            });
        }
        Check.that(Kit.route(plain, TOPIC).size() >= 1, "the trace topic has no route");
        SendResult last = sent.get(COUNT - 1);
        Tools.prints("queryMsgTraceById -i " + last.getMsgId(), "Pub\\s+PT_" + kit.group,
            "success", "Sub\\s+" + kit.group);
        Runner.note(COUNT + " messages traced");
    }

    /** What the trace topic holds of a message: the bodies found by its id. */
    private static String trace(DefaultMQProducer producer, String id) {
        try {
            StringBuilder all = new StringBuilder();
            for (MessageExt message : producer.queryMessage(TOPIC, id, 64, 0, QueryByKey.end())
                .getMessageList()) {
                all.append(new String(message.getBody()));
            }
            return all.toString();
        } catch (Exception e) {
            return "";
        }
    }
}

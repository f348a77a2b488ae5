package ringmq.conformance;

import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.rocketmq.client.consumer.DefaultMQPullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.exception.RequestTimeoutException;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.RequestCallback;
import org.apache.rocketmq.client.producer.SendStatus;
import org.apache.rocketmq.client.utils.MessageUtil;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;
import org.apache.rocketmq.remoting.protocol.RemotingCommand;

/**
 * A producer's request() sends a message and waits for the reply that a consumer sends: with the
 * thread, or with a callback. A request that nobody answers ends with the client's time-out. A
 * reply for a client that is not there is refused with 1 and why. Replies are stored.
 */
final class RequestReply implements Scenario {
    private static final int COUNT = 20;
    private static final int REPLY = 325;
    private static final long WAIT_MS = 60_000;
    private static final String REPLIES = "DefaultCluster_REPLY_TOPIC";
    private final Map<String, String> failed = new ConcurrentHashMap<>();

    @Override
    public void run(Kit kit) throws Exception {
        DefaultMQProducer asker = kit.producer();
        List<MessageQueue> queues = kit.createTopic(asker);
        // Replies come over the connections that the asker's heartbeat has named it on.
        asker.getDefaultMQProducerImpl().getmQClientFactory().sendHeartbeatToAllBrokerWithLock();
        DefaultMQProducer replier = kit.producer();
        DefaultMQPushConsumer consumer = kit.pushConsumer(kit.group);
        consumer.subscribe(kit.topic, "ask");
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            messages.forEach(message -> reply(replier, message));
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
        for (int i = 0; i < COUNT; i++) {
            MessageQueue queue = queues.get(i % queues.size());
            Message reply = asker.request(question(kit, i), queue, WAIT_MS);
            Check.same("re: q" + i, new String(reply.getBody()), "reply to q" + i);
            Check.same("reply", reply.getProperty("MSG_TYPE"), "MSG_TYPE of the reply");
            Check.that(reply.getProperty("PUSH_REPLY_TIME") != null, "PUSH_REPLY_TIME is missing");
        }
        withCallback(kit, asker);
        Check.same(Map.of(), failed, "replies that were not sent");
        try {
            asker.request(new Message(kit.topic, "nobody", "?".getBytes()), 2_000);
            throw new Check.Failed("a request that nobody answers was answered");
        } catch (RequestTimeoutException expected) {
            Runner.note(2 * COUNT + " requests answered, one not");
        }
        stored(kit, asker);
        refused(kit, asker);
    }

    private static Message question(Kit kit, int i) {
        return new Message(kit.topic, "ask", ("q" + i).getBytes());
    }

    private void reply(DefaultMQProducer replier, MessageExt message) {
        String body = new String(message.getBody());
        try {
            Message reply = MessageUtil.createReplyMessage(message, ("re: " + body).getBytes());
            reply.putUserProperty(Received.ID, message.getTopic() + body);
            Check.same(SendStatus.SEND_OK, replier.send(reply, 20_000).getSendStatus(), body);
        } catch (Exception e) {
            failed.put(body, e.toString());
        }
    }

    private void withCallback(Kit kit, DefaultMQProducer asker) throws Exception {
        CountDownLatch open = new CountDownLatch(COUNT);
        Set<String> replies = ConcurrentHashMap.newKeySet();
        RequestCallback callback = new RequestCallback() {
            @Override
            public void onSuccess(Message message) {
                replies.add(new String(message.getBody()));
                open.countDown();
            }

            @Override
            public void onException(Throwable e) {
                failed.put("callback", e.toString());
                open.countDown();
            }
        };
        Set<String> expected = new TreeSet<>();
        for (int i = COUNT; i < 2 * COUNT; i++) {
            expected.add("re: q" + i);
            asker.request(question(kit, i), callback, WAIT_MS);
        }
        Check.that(open.await(WAIT_MS, TimeUnit.MILLISECONDS), "callbacks: " + open.getCount()
            + " missing");
        Check.same(expected, new TreeSet<>(replies), "replies by callback");
    }

    private static void stored(Kit kit, DefaultMQProducer asker) throws Exception {
        DefaultMQPullConsumer reader = kit.pullConsumer(kit.group + "_reader");
        Map<String, MessageExt> found = new ConcurrentHashMap<>();
        Check.within(20_000, "every reply is stored", () -> {
            Letters.read(asker, reader, REPLIES, found);
            return found.keySet().stream().filter(id -> id.startsWith(kit.topic)).count()
                >= 2 * COUNT;
        });
        MessageExt one = found.get(kit.topic + "q3");
        Check.same("re: q3", new String(one.getBody()), "a stored reply");
        Check.same("DefaultRegion", one.getProperty("MSG_REGION"), "MSG_REGION of a stored reply");
    }

    private static void refused(Kit kit, DefaultMQProducer producer) throws Exception {
        for (String address : Kit.brokers().values()) {
            for (String[] one : new String[][] {
                {"REPLY_TO_CLIENT\u0001nobody\u0002",
                    "push reply message fail, channel of <nobody> not found."},
                {"MSG_TYPE\u0001reply\u0002",
                    "reply message properties[REPLY_TO_CLIENT] is null"}}) {
                Map<String, Object> fields = Map.of("a", "p", "b", REPLIES, "c", "TBW102", "d", 4,
                    "e", 0, "f", 0, "g", 1, "h", 0, "i", one[0], "j", 0);
                RemotingCommand answer =
                    Kit.request(producer, address, REPLY, fields, "body".getBytes());
                Check.same(1, answer.getCode(), "answer to a reply for nobody");
                Check.same(one[1], answer.getRemark(), "its remark");
            }
        }
    }
}

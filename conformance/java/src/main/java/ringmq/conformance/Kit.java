package ringmq.conformance;

import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.rocketmq.client.consumer.DefaultMQPullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.PullResult;
import org.apache.rocketmq.client.consumer.PullStatus;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.client.producer.SendStatus;
import org.apache.rocketmq.client.producer.TransactionListener;
import org.apache.rocketmq.client.producer.TransactionMQProducer;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;
import org.apache.rocketmq.remoting.protocol.RemotingCommand;

/**
 * Clients of one scenario run: every name is fresh, so runs share a cluster without seeing each
 * other.
 */
final class Kit implements AutoCloseable {
    /** Part of client ids; the machine's own address has no business in recorded frames. */
    static final String LOOPBACK = "127.0.0.1";
    /**
     * 30 s by default. A rebalance raises the subscription's version, and the heartbeat that should
     * tell the broker may be dropped by the client's own lock: pulls are then refused (25) until
     * the next one, on Apache as anywhere.
     */
    private static final int HEARTBEAT_MS = 5_000;
    /** RingMQ's broker is put to the test, not Apache's. */
    static final boolean AGAINST_RINGMQ =
        "ringmq".equals(System.getProperty("conformance.against"));
    final String topic;
    final String group;
    private final String namesrv;
    private final String run;
    private final AtomicInteger instances = new AtomicInteger();
    private final List<AutoCloseable> open = new ArrayList<>();

    Kit(String namesrv, String run) {
        this.namesrv = namesrv;
        this.run = run;
        this.topic = "T_" + run;
        this.group = "G_" + run;
    }

    /**
     * Each client gets its own instance name: clients of one JVM would share connections otherwise.
     */
    private String instance() {
        return run + "-" + instances.incrementAndGet();
    }

    String namesrv() {
        return namesrv;
    }

    String run() {
        return run;
    }

    /** Listeners may not throw. */
    static void append(File file, String text) {
        try {
            Files.writeString(file.toPath(), text, StandardOpenOption.APPEND);
        } catch (IOException e) {
            throw new IllegalStateException(e);
        }
    }

    DefaultMQProducer producer() throws MQClientException {
        DefaultMQProducer producer = new DefaultMQProducer("P_" + run);
        producer.setNamesrvAddr(namesrv);
        producer.setInstanceName(instance());
        producer.setClientIP(LOOPBACK);
        producer.setSendMsgTimeout(10_000);
        producer.start();
        open.add(producer::shutdown);
        return producer;
    }

    /** All of one scenario are in one group. */
    TransactionMQProducer transactionProducer(TransactionListener listener)
        throws MQClientException {
        TransactionMQProducer producer = new TransactionMQProducer("PT_" + run);
        producer.setNamesrvAddr(namesrv);
        producer.setInstanceName(instance());
        producer.setClientIP(LOOPBACK);
        producer.setSendMsgTimeout(10_000);
        producer.setHeartbeatBrokerInterval(HEARTBEAT_MS);
        producer.setTransactionListener(listener);
        producer.start();
        open.add(producer::shutdown);
        return producer;
    }

    /** Not started: the scenario subscribes and registers its listener first. */
    DefaultMQPushConsumer pushConsumer(String group) {
        DefaultMQPushConsumer consumer = new DefaultMQPushConsumer(group);
        consumer.setNamesrvAddr(namesrv);
        consumer.setInstanceName(instance());
        consumer.setClientIP(LOOPBACK);
        consumer.setHeartbeatBrokerInterval(HEARTBEAT_MS);
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        consumer.setConsumeThreadMin(4);
        consumer.setConsumeThreadMax(4);
        open.add(consumer::shutdown);
        return consumer;
    }

    /** A push consumer of the run's group gets what the topic has with the tag "tag". */
    void receive(Received received) throws MQClientException {
        DefaultMQPushConsumer consumer = pushConsumer(group);
        consumer.subscribe(topic, "tag");
        consumer.registerMessageListener(received.listener("one"));
        consumer.start();
    }

    void closeLater(AutoCloseable client) {
        open.add(client);
    }

    String instanceForOther() {
        return instance();
    }

    /**
     * The brokers by name, with their addresses: RingMQ's shards or Apache's masters. Empty where
     * the runner did not say: one broker, of the usual name.
     */
    static Map<String, String> brokers() {
        Map<String, String> brokers = new TreeMap<>();
        for (String one : System.getProperty("conformance.brokers", "").split(",")) {
            if (!one.isEmpty()) {
                brokers.put(one.substring(0, one.indexOf('=')),
                    one.substring(one.indexOf('=') + 1));
            }
        }
        return brokers;
    }

    /**
     * One message makes a broker create the topic, on itself alone: each broker gets one. Then
     * every queue of it must be in the route.
     */
    List<MessageQueue> createTopic(DefaultMQProducer producer) throws Exception {
        int brokers = Math.max(1, brokers().size());
        if (brokers == 1) {
            first(producer.send(new Message(topic, "first", "first".getBytes())));
        }
        for (String broker : brokers == 1 ? Set.<String>of() : brokers().keySet()) {
            first(producer.send(new Message(topic, "first", "first".getBytes()),
                new MessageQueue(topic, broker, 0)));
        }
        // The second broker's may come to the name server a moment behind its answer.
        Check.within(10_000, "4 or more queues a broker of an automatically created topic", () ->
            route(producer, topic).size() >= 4 * brokers);
        return producer.fetchPublishMessageQueues(topic);
    }

    private static void first(SendResult result) {
        Check.same(SendStatus.SEND_OK, result.getSendStatus(), "status of the first send");
    }

    /** Clients look for routes every 30 s by themselves; a scenario does not wait for that. */
    static void refreshRoute(DefaultMQProducer producer, String topic) {
        producer.getDefaultMQProducerImpl().getmQClientFactory()
            .updateTopicRouteInfoFromNameServer(topic);
    }

    /** The queues of a topic as the name server has them; none while it knows of none. */
    static List<MessageQueue> route(DefaultMQProducer producer, String topic) {
        try {
            return producer.fetchPublishMessageQueues(topic);
        } catch (MQClientException e) {
            return List.of();
        }
    }

    /** One request to one broker, as the client's own calls would send it. */
    static RemotingCommand request(DefaultMQProducer producer, String address, int code,
        Map<String, ?> fields) throws Exception {
        return request(producer, address, code, fields, null);
    }

    /** The same with a body. */
    static RemotingCommand request(DefaultMQProducer producer, String address, int code,
        Map<String, ?> fields, byte[] body) throws Exception {
        RemotingCommand request = RemotingCommand.createRequestCommand(code, null);
        request.setBody(body);
        fields.forEach((name, value) -> request.addExtField(name, String.valueOf(value)));
        return producer.getDefaultMQProducerImpl().getmQClientFactory().getMQClientAPIImpl()
            .getRemotingClient().invokeSync(address, request, 5_000);
    }

    /** Offsets by hand, with long polls of 1 s. */
    DefaultMQPullConsumer pullConsumer(String group) throws MQClientException {
        DefaultMQPullConsumer consumer = new DefaultMQPullConsumer(group);
        consumer.setNamesrvAddr(namesrv);
        consumer.setInstanceName(instance());
        consumer.setClientIP(LOOPBACK);
        consumer.setBrokerSuspendMaxTimeMillis(1_000);
        consumer.start();
        open.add(consumer::shutdown);
        return consumer;
    }

    /** Every message of a queue, from its first to its last. */
    static List<MessageExt> readAll(DefaultMQPullConsumer consumer, MessageQueue queue)
        throws Exception {
        List<MessageExt> messages = new ArrayList<>();
        long at = consumer.minOffset(queue);
        while (at < consumer.maxOffset(queue)) {
            PullResult result = consumer.pull(queue, "*", at, 32);
            if (result.getPullStatus() == PullStatus.FOUND) {
                messages.addAll(result.getMsgFoundList());
            }
            at = result.getNextBeginOffset();
        }
        return messages;
    }

    @Override
    public void close() {
        for (int i = open.size() - 1; i >= 0; i--) {
            try {
                open.get(i).close();
            } catch (Exception e) {
                System.err.println("closing a client: " + e);
            }
        }
    }
}

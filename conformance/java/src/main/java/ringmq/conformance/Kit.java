package ringmq.conformance;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.client.producer.SendStatus;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageQueue;

/** Clients of one scenario run: every name is fresh, so runs share a cluster without seeing each other. */
final class Kit implements AutoCloseable {
    /** Part of client ids; the machine's own address has no business in recorded frames. */
    static final String LOOPBACK = "127.0.0.1";
    /**
     * 30 s by default. A rebalance raises the subscription's version, and the heartbeat that should tell the broker may
     * be dropped by the client's own lock: pulls are then refused (25) until the next one, on Apache as anywhere.
     */
    private static final int HEARTBEAT_MS = 5_000;
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

    /** Each client gets its own instance name: clients of one JVM would share connections otherwise. */
    private String instance() {
        return run + "-" + instances.incrementAndGet();
    }

    String namesrv() {
        return namesrv;
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

    void closeLater(AutoCloseable client) {
        open.add(client);
    }

    String instanceForOther() {
        return instance();
    }

    /** One message makes the broker create the topic; then every queue of it must be in the route. */
    List<MessageQueue> createTopic(DefaultMQProducer producer) throws Exception {
        SendResult first = producer.send(new Message(topic, "first", "first".getBytes()));
        Check.same(SendStatus.SEND_OK, first.getSendStatus(), "status of the first send");
        List<MessageQueue> queues = producer.fetchPublishMessageQueues(topic);
        Check.that(queues.size() >= 4, "queues of an automatically created topic: expected 4 or more, found " + queues);
        return queues;
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

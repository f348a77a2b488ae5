package ringmq.conformance;

import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.apache.rocketmq.client.consumer.DefaultMQPullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeOrderlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerOrderly;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageQueue;

/**
 * Not a test: makes a client send every request whose bytes are wanted as fixtures, in a few
 * seconds.
 */
final class CaptureTour implements Scenario {
    @Override
    public void run(Kit kit) throws Exception {
        DefaultMQProducer producer = kit.producer();
        MessageQueue queue = kit.createTopic(producer).get(0);
        Message message = new Message(kit.topic, "TagA", "key1 key2", 7, "golden body".getBytes(),
            true);
        message.putUserProperty(Received.ID, "g1");
        message.putUserProperty("colour", "grün");
        SendResult sent = producer.send(message, queue);
        producer.sendOneway(new Message(kit.topic, "TagB", "one-way".getBytes()), queue);
        producer.send(batch(kit.topic), queue);
        producer.viewMessage(kit.topic, sent.getOffsetMsgId());
        offsets(kit, queue);
        twoOrderlyConsumers(kit);
    }

    private static List<Message> batch(String topic) {
        return IntStream.range(0, 3)
            .mapToObj(i -> new Message(topic, "TagB", "k" + i, ("batch " + i).getBytes()))
            .collect(Collectors.toList());
    }

    private static void offsets(Kit kit, MessageQueue queue) throws Exception {
        DefaultMQPullConsumer pull = new DefaultMQPullConsumer(kit.group + "_pull");
        pull.setNamesrvAddr(kit.namesrv());
        pull.setInstanceName(kit.instanceForOther());
        pull.setClientIP(Kit.LOOPBACK);
        pull.setBrokerSuspendMaxTimeMillis(1_000);
        pull.start();
        kit.closeLater(pull::shutdown);
        pull.minOffset(queue);
        long max = pull.maxOffset(queue);
        pull.searchOffset(queue, System.currentTimeMillis() - 3_600_000);
        pull.pull(queue, "TagA || TagB", 0, 32);
        pull.pullBlockIfNotFound(queue, "*", max, 32);
        pull.pull(queue, "*", max + 1_000, 32);
        pull.fetchConsumeOffset(queue, true);
        pull.updateConsumeOffset(queue, 2);
        pull.getOffsetStore().persistAll(Set.of(queue));
        pull.fetchConsumeOffset(queue, true);
    }

    /** The second one's arrival is what makes the broker push NOTIFY_CONSUMER_IDS_CHANGED (40). */
    private static void twoOrderlyConsumers(Kit kit) throws Exception {
        for (int i = 0; i < 2; i++) {
            DefaultMQPushConsumer consumer = kit.pushConsumer(kit.group);
            consumer.subscribe(kit.topic, "TagA || TagB");
            consumer.registerMessageListener((MessageListenerOrderly) (messages, context) ->
                ConsumeOrderlyStatus.SUCCESS);
            consumer.start();
            Thread.sleep(2_500);
        }
        Thread.sleep(4_000); // offsets are persisted every 5 s
    }
}

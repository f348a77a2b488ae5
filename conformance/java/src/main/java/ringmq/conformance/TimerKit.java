package ringmq.conformance;

import java.nio.charset.StandardCharsets;
import java.util.Base64;
import java.util.Map;
import org.apache.rocketmq.client.exception.MQBrokerException;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.client.producer.SendStatus;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageAccessor;
import org.apache.rocketmq.common.message.MessageQueue;
import org.apache.rocketmq.remoting.protocol.RemotingCommand;

/** What timer messages need of the clients, which before 5.x have no words for them. */
final class TimerKit {
    static final int RECALL_MESSAGE = 370;
    static final int NO_PERMISSION = 16;
    static final int ILLEGAL_OPERATION = 604;
    /** timerPrecisionMs. */
    private static final long SLOT_MS = 1_000;

    private TimerKit() {
    }

    /** A message with an id, a key and one of TIMER_DELAY_SEC, TIMER_DELAY_MS, TIMER_DELIVER_MS. */
    static Message message(String topic, String id, String property, Object value) {
        Message message =
            new Message(topic, "tag", "key-" + id, 42, ("body of " + id).getBytes(), true);
        message.putUserProperty(Received.ID, id);
        MessageAccessor.putProperty(message, property, String.valueOf(value));
        return message;
    }

    static SendResult send(DefaultMQProducer producer, Message message, MessageQueue queue)
        throws Exception {
        SendResult result = producer.send(message, queue, 10_000);
        Check.same(SendStatus.SEND_OK, result.getSendStatus(), "send of " + message.getKeys());
        return result;
    }

    /** The send must be refused with this code. */
    static void refused(DefaultMQProducer producer, Message message, MessageQueue queue, int code)
        throws Exception {
        try {
            SendResult result = producer.send(message, queue, 10_000);
            throw new Check.Failed(message.getProperties() + " was taken: " + result);
        } catch (MQBrokerException e) {
            Check.same(code, e.getResponseCode(), "code of " + message.getProperties());
        }
    }

    /** As the broker makes it for a message that is due at this time. */
    static String handle(String topic, String broker, long dueMs, String uniqueKey) {
        long slot = (dueMs - 1) / SLOT_MS * SLOT_MS;
        String text = String.join(" ", "v1", topic, broker, "" + (slot + 1), uniqueKey);
        return Base64.getUrlEncoder().encodeToString(text.getBytes(StandardCharsets.UTF_8));
    }

    /** What 5.x clients are told; older ones don't listen. */
    static String handleOf(SendResult result, String otherwise) {
        try {
            return (String) SendResult.class.getMethod("getRecallHandle").invoke(result);
        } catch (ReflectiveOperationException e) {
            return otherwise;
        }
    }

    static RemotingCommand recall(DefaultMQProducer producer, String address, String topic,
        String handle) throws Exception {
        Map<String, Object> fields = Map.of("topic", topic, "recallHandle", handle,
            "producerGroup", producer.getProducerGroup());
        return Kit.request(producer, address, RECALL_MESSAGE, fields);
    }

    /** The address of the broker that has a queue. */
    static String address(MessageQueue queue) {
        Map<String, String> brokers = Kit.brokers();
        return brokers.getOrDefault(queue.getBrokerName(), brokers.values().iterator().next());
    }
}

package ringmq.conformance;

import java.util.Map;
import org.apache.rocketmq.client.consumer.DefaultMQPullConsumer;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/**
 * Messages that a scenario knows again when they come another way: later, once more, or as dead
 * letters.
 */
final class Letters {
    private Letters() {
    }

    /**
     * The client compresses what is longer than 4 KiB: a long body's bytes must be kept as well.
     */
    static String body(String id, boolean isLong) {
        return isLong ? "long ".repeat(2_000) : "body of " + id;
    }

    static Message message(String topic, String id, String keys, String body) {
        Message message = new Message(topic, "tag", keys, 42, body.getBytes(), true);
        message.putUserProperty(Received.ID, id);
        return message;
    }

    /** Every message of a topic by its id; how many there are. */
    static int read(DefaultMQProducer producer, DefaultMQPullConsumer reader, String topic,
        Map<String, MessageExt> into) {
        int count = 0;
        try {
            for (MessageQueue queue : Kit.route(producer, topic)) {
                for (MessageExt message : Kit.readAll(reader, queue)) {
                    String id = message.getUserProperty(Received.ID);
                    if (id != null) {
                        into.put(id, message); // others are counted, and nobody's
                    }
                    count++;
                }
            }
        } catch (Exception e) {
            System.err.println("reading " + topic + ": " + e);
        }
        return count;
    }

    /** What is the same however a message comes. */
    static void same(String what, MessageExt first, MessageExt later) {
        Check.same(new String(first.getBody()), new String(later.getBody()), what + "body");
        Check.same(first.getFlag(), later.getFlag(), what + "flag");
        Check.same(first.getTags(), later.getTags(), what + "tag");
        Check.same(first.getKeys(), later.getKeys(), what + "keys");
    }
}

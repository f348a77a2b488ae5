package ringmq.conformance;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.Callable;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.message.MessageDecoder;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.remoting.protocol.RemotingCommand;

/** POP's requests as the client library sends them, and what it makes of their answers. */
final class PopKit {
    static final int QUERY_ASSIGNMENT = 400;
    static final int SET_MESSAGE_REQUEST_MODE = 401;
    static final int POP = 200_050;
    static final int ACK = 200_051;
    static final int CHANGE_INVISIBLE_TIME = 200_053;
    static final int NOTIFICATION = 200_054;
    static final int POLLING_TIMEOUT = 210;
    private static final String RECEIPT = "POP_CK";

    private PopKit() {
    }

    /** A popped message, and with what it is acknowledged. */
    static final class Popped {
        final MessageExt message;
        final String topic;
        final String receipt;

        Popped(MessageExt message, String topic, String receipt) {
            this.message = message;
            this.topic = topic;
            this.receipt = receipt;
        }

        String id() {
            return message.getUserProperty(Received.ID);
        }
    }

    static void popMode(DefaultMQProducer producer, String topic, String group) throws Exception {
        mode(producer, topic, group, "POP");
    }

    /** What mqadmin's setConsumeMode sends to each broker. */
    static void mode(DefaultMQProducer producer, String topic, String group, String mode)
        throws Exception {
        String body = "{\"consumerGroup\":\"" + group + "\",\"mode\":\"" + mode + "\","
            + "\"popShareQueueNum\":0,\"topic\":\"" + topic + "\"}";
        for (String address : Kit.brokers().values()) {
            RemotingCommand answer = Kit.request(producer, address, SET_MESSAGE_REQUEST_MODE,
                Map.of(), body.getBytes(StandardCharsets.UTF_8));
            Check.same(0, answer.getCode(), "answer to 401: " + answer.getRemark());
        }
    }

    /** Clients before 5.0 have no such setters. */
    static void byServer(DefaultMQPushConsumer consumer, long invisibleMs) throws Exception {
        consumer.getClass().getMethod("setClientRebalance", boolean.class).invoke(consumer, false);
        consumer.getClass().getMethod("setPopInvisibleTime", long.class)
            .invoke(consumer, invisibleMs);
    }

    static RemotingCommand answer(DefaultMQProducer producer, String address, Kit kit,
        long invisibleMs, long pollMs, int max) throws Exception {
        Map<String, Object> fields = new HashMap<>();
        fields.put("consumerGroup", kit.group);
        fields.put("topic", kit.topic);
        fields.put("queueId", -1);
        fields.put("maxMsgNums", max);
        fields.put("invisibleTime", invisibleMs);
        fields.put("pollTime", pollMs);
        fields.put("bornTime", System.currentTimeMillis());
        fields.put("initMode", 0);
        fields.put("expType", "TAG");
        fields.put("exp", "*");
        return Kit.request(producer, address, POP, fields);
    }

    static List<Popped> pop(DefaultMQProducer producer, Map.Entry<String, String> broker, Kit kit,
        long invisibleMs) {
        RemotingCommand answer =
            unchecked(() -> answer(producer, broker.getValue(), kit, invisibleMs, 0, 32));
        if (answer.getCode() == POLLING_TIMEOUT) {
            return List.of();
        }
        Check.same(0, answer.getCode(), "answer to a pop: " + answer.getRemark());
        return popped(answer, broker.getKey(), kit);
    }

    /** As `MQClientAPIImpl.processPopResponse` does it. */
    private static List<Popped> popped(RemotingCommand answer, String broker, Kit kit) {
        Map<String, String> header = answer.getExtFields();
        Map<String, String> starts = new TreeMap<>();
        for (String one : header.get("startOffsetInfo").split(";")) {
            String[] parts = one.split(" ");
            starts.put(parts[0] + "@" + parts[1], parts[2]);
        }
        List<Popped> all = new ArrayList<>();
        for (MessageExt message : MessageDecoder.decodes(ByteBuffer.wrap(answer.getBody()))) {
            String receipt = message.getProperty(RECEIPT);
            if (receipt == null) {
                receipt = String.join(" ", starts.get("0@" + message.getQueueId()),
                    header.get("popTime"), header.get("invisibleTime"), header.get("reviveQid"),
                    "0", broker, String.valueOf(message.getQueueId()),
                    String.valueOf(message.getQueueOffset()));
            }
            boolean retried = receipt.split(" ")[4].equals("1");
            String topic = retried ? "%RETRY%" + kit.group + "_" + kit.topic : kit.topic;
            all.add(new Popped(message, topic, receipt));
        }
        return all;
    }

    static RemotingCommand with(DefaultMQProducer producer, String address, int code, Kit kit,
        Popped popped, Map<String, ?> more) {
        Map<String, Object> fields = new HashMap<>(more);
        fields.put("consumerGroup", kit.group);
        fields.put("topic", popped.topic);
        fields.put("queueId", popped.message.getQueueId());
        fields.put("offset", popped.message.getQueueOffset());
        fields.put("extraInfo", popped.receipt);
        return unchecked(() -> Kit.request(producer, address, code, fields));
    }

    static void ack(DefaultMQProducer producer, String address, Kit kit, Popped popped) {
        RemotingCommand answer = with(producer, address, ACK, kit, popped, Map.of());
        Check.same(0, answer.getCode(), "answer to an ack: " + answer.getRemark());
    }

    /** Conditions that are waited for may not throw. */
    private static <T> T unchecked(Callable<T> call) {
        try {
            return call.call();
        } catch (Exception e) {
            throw new IllegalStateException(e);
        }
    }
}

package ringmq.conformance;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;
import org.apache.rocketmq.client.QueryResult;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.client.impl.MQAdminImpl;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageConst;
import org.apache.rocketmq.common.message.MessageExt;

/** What mqadmin's queryMsgByKey, queryMsgByUniqueKey and queryMsgById ask, by the same calls of the client. */
final class QueryByKey implements Scenario {
    private static final int COUNT = 40;

    @Override
    public void run(Kit kit) throws Exception {
        DefaultMQProducer producer = kit.producer();
        kit.createTopic(producer);
        long begin = System.currentTimeMillis() - 5_000;
        List<SendResult> sent = new ArrayList<>();
        for (int i = 0; i < COUNT; i++) {
            sent.add(producer.send(message(kit.topic, i)));
        }
        // The original indexes a moment behind the answer.
        Check.within(10_000, "the last message is found by key", () -> found(producer, kit.topic, "key" + (COUNT - 1), 1, begin, end()).size() == 1);
        for (int i = 0; i < COUNT; i++) {
            Check.same(Set.of("n" + i), found(producer, kit.topic, "key" + i, 32, begin, end()), "messages with key" + i);
            Check.same("n" + i, body(byUniqueKey(producer, kit.topic, sent.get(i).getMsgId())), "message of " + sent.get(i).getMsgId());
            Check.same("n" + i, body(producer.viewMessage(kit.topic, sent.get(i).getOffsetMsgId())), "message at " + sent.get(i).getOffsetMsgId());
        }
        Check.same(newest(sent, 10), found(producer, kit.topic, "all", 10, begin, end()),
            "the newest 10 of each broker");
        Check.same(newest(sent, COUNT), found(producer, kit.topic, "all", 64, begin, end()), "all of them");
        Check.same(Set.of(), found(producer, kit.topic, "all", 64, begin - 100_000, begin), "messages before the first");
        Check.same(Set.of(), found(producer, kit.topic, "nobody's", 64, begin, end()), "messages with a key nobody has");
    }

    static long end() {
        return System.currentTimeMillis() + 3_600_000;
    }

    private static Message message(String topic, int i) {
        Message message = new Message(topic, i % 2 == 0 ? "even" : "odd", ("n" + i).getBytes());
        message.setKeys(List.of("key" + i, "all"));
        return message;
    }

    /** A client asks every broker of the topic for so many, and joins what they answer. */
    private static Set<String> newest(List<SendResult> sent, int count) {
        Set<String> bodies = new TreeSet<>();
        Map<String, Integer> ofBroker = new HashMap<>();
        for (int i = COUNT - 1; i >= 0; i--) {
            String broker = sent.get(i).getMessageQueue().getBrokerName();
            if (ofBroker.merge(broker, 1, Integer::sum) <= count) {
                bodies.add("n" + i);
            }
        }
        return bodies;
    }

    private static String body(MessageExt message) {
        return message == null ? "none" : new String(message.getBody());
    }

    /** mqadmin's queryMsgByUniqueKey. */
    static MessageExt byUniqueKey(DefaultMQProducer producer, String topic, String key) throws Exception {
        return admin(producer).queryMessageByUniqKey(topic, key);
    }

    private static MQAdminImpl admin(DefaultMQProducer producer) {
        return producer.getDefaultMQProducerImpl().getMqClientFactory().getMQAdminImpl();
    }

    /** mqadmin's queryMsgByKey: the bodies; none when the broker says that it has none. */
    static Set<String> found(DefaultMQProducer producer, String topic, String key, int max, long begin, long end) {
        try {
            QueryResult result = producer.queryMessage(topic, key, max, begin, end);
            List<MessageExt> messages = result.getMessageList();
            for (MessageExt message : messages) {
                boolean has = List.of(message.getKeys().split(MessageConst.KEY_SEPARATOR)).contains(key);
                Check.that(has && topic.equals(message.getTopic()), "a message that was not asked for: " + message);
            }
            return messages.stream().map(message -> new String(message.getBody())).collect(Collectors.toCollection(TreeSet::new));
        } catch (MQClientException e) {
            Check.that(String.valueOf(e.getErrorMessage()).contains("no message") || e.getResponseCode() == 17 || e.getResponseCode() == 208, "query of " + key + ": " + e);
            return new TreeSet<>();
        } catch (InterruptedException e) {
            throw new Check.Failed("interrupted");
        }
    }
}

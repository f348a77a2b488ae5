package ringmq.conformance;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.common.message.MessageExt;

/**
 * What consumers of one scenario received, by the id that the sender put into the property "id".
 */
final class Received {
    static final String ID = "id";
    private final Map<String, List<MessageExt>> byId = new ConcurrentHashMap<>();
    private final Map<String, Integer> byConsumer = new ConcurrentHashMap<>();

    void add(String consumer, MessageExt message) {
        String id = message.getUserProperty(ID);
        if (id == null) {
            return; // the message that created the topic
        }
        byId.computeIfAbsent(id, k -> Collections.synchronizedList(new ArrayList<>())).add(message);
        byConsumer.merge(consumer, 1, Integer::sum);
    }

    MessageListenerConcurrently listener(String consumer) {
        return (messages, context) -> {
            messages.forEach(m -> add(consumer, m));
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        };
    }

    int distinct() {
        return byId.size();
    }

    int duplicates() {
        return byId.values().stream().mapToInt(l -> l.size() - 1).sum();
    }

    int of(String consumer) {
        return byConsumer.getOrDefault(consumer, 0);
    }

    MessageExt one(String id) {
        List<MessageExt> found = byId.getOrDefault(id, List.of());
        Check.same(1, found.size(), "deliveries of message " + id);
        return found.get(0);
    }

    /** What came first, where a message may come twice. */
    MessageExt first(String id) {
        return byId.get(id).get(0);
    }

    int times(String id) {
        return byId.getOrDefault(id, List.of()).size();
    }

    boolean has(String id) {
        return byId.containsKey(id);
    }

    /** Everything expected came, nothing else did. */
    void exactly(Set<String> expected) {
        Set<String> missing = new TreeSet<>(expected);
        missing.removeAll(byId.keySet());
        Set<String> strange = new TreeSet<>(byId.keySet());
        strange.removeAll(expected);
        Check.that(missing.isEmpty(), missing.size() + " messages missing, first "
            + missing.stream().findFirst().orElse(""));
        Check.that(strange.isEmpty(), strange.size() + " messages nobody sent, first "
            + strange.stream().findFirst().orElse(""));
    }

    void exactlyOnce(Set<String> expected) {
        exactly(expected);
        Check.same(0, duplicates(), "duplicates");
    }
}

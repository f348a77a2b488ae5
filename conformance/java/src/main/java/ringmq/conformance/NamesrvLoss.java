package ringmq.conformance;

import java.util.HashSet;
import java.util.Set;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.message.Message;

/** One of two name servers is killed and comes back, then the other goes: clients, old and new, work all the time. */
final class NamesrvLoss implements Scenario {
    private final Set<String> ids = new HashSet<>();

    @Override
    public void run(Kit kit) throws Exception {
        DefaultMQProducer old = kit.producer();
        kit.createTopic(old);
        Received received = new Received();
        DefaultMQPushConsumer consumer = kit.pushConsumer(kit.group);
        consumer.subscribe(kit.topic, "*");
        consumer.registerMessageListener(received.listener("c"));
        consumer.start();
        send(old, kit.topic, 20);

        Runner.ask("kill-namesrv 0");
        send(old, kit.topic, 50);
        send(kit.producer(), kit.topic, 20);

        Runner.ask("start-namesrv 0"); // done when the broker is registered there again
        send(old, kit.topic, 20);
        Runner.ask("kill-namesrv 1");
        send(old, kit.topic, 50);
        send(kit.producer(), kit.topic, 20);
        Runner.ask("start-namesrv 1");

        Check.within(30_000, ids.size() + " messages", () -> received.distinct() >= ids.size());
        received.exactlyOnce(ids);
    }

    private void send(DefaultMQProducer producer, String topic, int count) throws Exception {
        for (int i = 0; i < count; i++) {
            String id = "n" + ids.size();
            Message message = new Message(topic, "t", id.getBytes());
            message.putUserProperty(Received.ID, id);
            producer.send(message);
            ids.add(id);
        }
    }
}

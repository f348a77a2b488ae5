package ringmq.conformance;

import java.util.HashSet;
import java.util.Set;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.message.Message;

/**
 * One of two name servers is killed and comes back, then the other goes: clients, old and new, work
 * all the time.
 */
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
        sendAsNewcomer(kit, 20);

        Runner.ask("start-namesrv 0"); // done when the broker is registered there again
        send(old, kit.topic, 20);
        Runner.ask("kill-namesrv 1");
        send(old, kit.topic, 50);
        sendAsNewcomer(kit, 20);
        Runner.ask("start-namesrv 1");

        Check.within(60_000, ids.size() + " messages", () -> received.distinct() >= ids.size());
        received.exactlyOnce(ids);
    }

    /**
     * A client that starts now may try the dead name server first and throw; it knows better at the
     * next try. Such a send has not reached any broker: it failed at the route.
     */
    private void sendAsNewcomer(Kit kit, int count) throws Exception {
        DefaultMQProducer producer = kit.producer();
        int[] failures = {0};
        Check.within(20_000, "a new client finds the living name server", () -> {
            try {
                producer.getDefaultMQProducerImpl().getmQClientFactory()
                    .updateTopicRouteInfoFromNameServer(kit.topic);
                return !producer.fetchPublishMessageQueues(kit.topic).isEmpty();
            } catch (Exception e) {
                failures[0]++;
                return false;
            }
        });
        Runner.note("a new client needed " + (failures[0] + 1) + " look-ups");
        send(producer, kit.topic, count);
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

package ringmq.conformance;

import java.lang.reflect.Method;
import java.util.Arrays;
import java.util.HashSet;
import java.util.Set;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.message.Message;

/** Two consumers of one broadcasting group: each receives every message once. */
final class Broadcast implements Scenario {
    @Override
    public void run(Kit kit) throws Exception {
        DefaultMQProducer producer = kit.producer();
        kit.createTopic(producer);
        Received one = new Received();
        Received two = new Received();
        start(kit, one);
        start(kit, two);
        Set<String> ids = new HashSet<>();
        for (int i = 0; i < 200; i++) {
            Message message = new Message(kit.topic, "t", ("b" + i).getBytes());
            message.putUserProperty(Received.ID, "b" + i);
            producer.send(message);
            ids.add("b" + i);
        }
        Check.within(60_000, "200 messages at both", () -> one.distinct() >= 200
            && two.distinct() >= 200);
        Thread.sleep(300);
        one.exactlyOnce(ids);
        two.exactlyOnce(ids);
    }

    private static void start(Kit kit, Received received) throws Exception {
        DefaultMQPushConsumer consumer = kit.pushConsumer(kit.group);
        broadcasting(consumer);
        consumer.subscribe(kit.topic, "*");
        consumer.registerMessageListener(received.listener("c"));
        consumer.start();
    }

    /**
     * The enum moved to another package between 4.9.8 and 5.5.0, so it is found through the setter.
     */
    @SuppressWarnings({"unchecked", "rawtypes"})
    private static void broadcasting(DefaultMQPushConsumer consumer)
        throws ReflectiveOperationException {
        Method setter = Arrays.stream(DefaultMQPushConsumer.class.getMethods())
            .filter(m -> m.getName().equals("setMessageModel")).findFirst().orElseThrow();
        Class<? extends Enum> model = (Class<? extends Enum>) setter.getParameterTypes()[0];
        setter.invoke(consumer, Enum.valueOf(model, "BROADCASTING"));
    }
}

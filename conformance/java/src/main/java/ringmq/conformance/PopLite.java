package ringmq.conformance;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Collectors;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageDecoder;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.remoting.protocol.RemotingCommand;

/**
 * Lite topics, as a proxy asks for them: each client gets what its lite topics have, in order and
 * no more until that is acknowledged; another takes an exclusive one over; a SIGTERM and a SIGKILL
 * lose nothing, and neither does a store that the other broker has for a while. Apache's tools
 * print what there is.
 */
final class PopLite implements Scenario {
    private static final int UPDATE_GROUP = 200;
    private static final int POP_LITE = 200_070;
    private static final int SUBSCRIBE = 200_071;
    private static final int PER_TOPIC = 40;
    private static final String OTHER = "apache";
    private static final String OWN = Kit.AGAINST_RINGMQ ? "ringmq" : "apache";
    private static final String PLACE = "INNER_MULTI_QUEUE_OFFSET";

    private Kit kit;
    private DefaultMQProducer producer;
    private String exclusive;
    private int again;
    /** What each lite topic gave, acknowledged, in order. */
    private final Map<String, List<String>> done = new TreeMap<>();

    @Override
    public void run(Kit kit) throws Exception {
        this.kit = kit;
        producer = kit.producer();
        producer.setRetryTimesWhenSendFailed(5);
        exclusive = kit.group + "_X";
        Tools.prints("updateTopic -b " + address() + " -t " + kit.topic + " -a +message.type=LITE",
            "success");
        makeGroup(kit.group, "");
        makeGroup(exclusive, ",\"+lite.sub.model\":\"Exclusive\"");
        Check.within(20_000, "the topic's route", () ->
            Kit.route(producer, kit.topic).size() >= 4);
        send("a", 0);
        send("b", 0);
        subscribe("PARTIAL_ADD", "c1", kit.group, "a", "b");
        consume("c1", 10);
        change(null);
        subscribe("COMPLETE_ADD", "c1", kit.group, "a", "b");
        consume("c1", 20);
        tools();
        Runner.ask("kill-broker");
        Runner.ask("start-broker " + OWN);
        untilItAnswers();
        send("a", PER_TOPIC);
        subscribe("COMPLETE_ADD", "c1", kit.group, "a", "b");
        consume("c1", 25);
        change(OTHER);
        send("b", PER_TOPIC);
        subscribe("COMPLETE_ADD", "c1", kit.group, "a", "b");
        consume("c1", 60);
        change(OWN);
        subscribe("COMPLETE_ADD", "c1", kit.group, "a", "b");
        consume("c1", 2 * PER_TOPIC);
        for (String lite : List.of("a", "b")) {
            List<String> sent = new ArrayList<>();
            for (int i = 0; i < 2 * PER_TOPIC; i++) {
                sent.add(lite + i);
            }
            Check.same(sent, done.get(lite), "messages of " + lite + ", in order");
        }
        takeOver();
        Runner.note(4 * PER_TOPIC + " messages of two lite topics in order, over five lives of the "
            + "broker, " + again + " came again");
    }

    private static String address() {
        return Kit.brokers().values().iterator().next();
    }

    private void makeGroup(String group, String more) throws Exception {
        String body = "{\"groupName\":\"" + group + "\",\"consumeEnable\":true,\"attributes\":{"
            + "\"+lite.bind.topic\":\"" + kit.topic + "\"" + more + "}}";
        RemotingCommand answer = Kit.request(producer, address(), UPDATE_GROUP, Map.of(),
            body.getBytes(StandardCharsets.UTF_8));
        Check.same(0, answer.getCode(), "answer to 200: " + answer.getRemark());
    }

    private void send(String lite, int from) throws Exception {
        for (int i = from; i < from + PER_TOPIC; i++) {
            Message message = new Message(kit.topic, "t", (lite + i).getBytes());
            message.getProperties().put("__LITE_TOPIC", lite);
            producer.send(message);
        }
    }

    private void subscribe(String action, String client, String group, String... topics)
        throws Exception {
        String body = "{\"subscriptionSet\":[{\"action\":\"" + action + "\",\"clientId\":\""
            + client + "\",\"group\":\"" + group + "\",\"topic\":\"" + kit.topic
            + "\",\"version\":1,\"liteTopicSet\":[" + List.of(topics).stream()
            .map(topic -> "\"" + topic + "\"").collect(Collectors.joining(",")) + "]}]}";
        RemotingCommand answer = Kit.request(producer, address(), SUBSCRIBE, Map.of(),
            body.getBytes(StandardCharsets.UTF_8));
        Check.same(0, answer.getCode(), "answer to " + action + ": " + answer.getRemark());
    }

    private RemotingCommand pop(String client, String group, int max, long invisibleMs)
        throws Exception {
        Map<String, Object> fields = new HashMap<>();
        fields.put("clientId", client);
        fields.put("consumerGroup", group);
        fields.put("topic", kit.topic);
        fields.put("maxMsgNum", max);
        fields.put("invisibleTime", invisibleMs);
        fields.put("pollTime", 2_000);
        fields.put("bornTime", System.currentTimeMillis());
        return Kit.request(producer, address(), POP_LITE, fields);
    }

    /** Consumes until both lite topics have given so many. */
    private void consume(String client, int each) throws Exception {
        Check.within(90_000, each + " messages of each lite topic", () -> {
            try {
                RemotingCommand answer = pop(client, kit.group, 5, 3_000);
                if (answer.getCode() == 0) {
                    take(answer, each);
                } else {
                    Check.same(PopKit.POLLING_TIMEOUT, answer.getCode(),
                        "answer to a pop: " + answer.getRemark());
                }
            } catch (Exception e) {
                throw new IllegalStateException(e);
            }
            return of("a").size() >= each && of("b").size() >= each;
        });
    }

    private List<String> of(String lite) {
        return done.computeIfAbsent(lite, name -> new ArrayList<>());
    }

    /** Acknowledges what is wanted; the rest comes again. */
    private void take(RemotingCommand answer, int each) throws Exception {
        int messages = 0;
        for (MessageExt message : MessageDecoder.decodes(ByteBuffer.wrap(answer.getBody()))) {
            messages++;
            String lite = message.getProperty("__LITE_TOPIC");
            String id = new String(message.getBody());
            Check.same("%LMQ%$" + kit.topic + "$" + lite,
                message.getProperty("INNER_MULTI_DISPATCH"), "queue of " + id);
            Check.same(id, lite + message.getProperty(PLACE), "place of a message");
            if (of(lite).contains(id)) {
                again++;
            } else if (of(lite).size() >= each) {
                continue;
            } else {
                of(lite).add(id);
            }
            ack(answer, message, lite);
        }
        Check.same(messages, answer.getExtFields().get("orderCountInfo").split(";").length,
            "attempts of each message");
    }

    private void ack(RemotingCommand of, MessageExt message, String lite) throws Exception {
        String place = message.getProperty(PLACE);
        Map<String, String> header = of.getExtFields();
        Map<String, Object> fields = new HashMap<>();
        fields.put("consumerGroup", kit.group);
        fields.put("topic", kit.topic);
        fields.put("queueId", 0);
        fields.put("offset", place);
        fields.put("liteTopic", lite);
        fields.put("extraInfo", String.join(" ", "0", header.get("popTime"),
            header.get("invisibleTime"), header.get("reviveQid"), "0",
            Kit.brokers().keySet().iterator().next(), "0", place));
        RemotingCommand answer = Kit.request(producer, address(), PopKit.ACK, fields);
        Check.same(0, answer.getCode(), "answer to an ack: " + answer.getRemark());
    }

    /** What stays out when a broker ends comes again from the first that is not acknowledged. */
    private void change(String to) throws Exception {
        Thread.sleep(6_000); // offsets go into their file every 5 s
        Runner.ask(to == null ? "restart-broker" : "switch-broker " + to);
        untilItAnswers();
    }

    private void untilItAnswers() throws Exception {
        Check.within(60_000, "the broker answers", () -> {
            try {
                return pop("nobody", kit.group, 1, 1_000).getCode() == PopKit.POLLING_TIMEOUT;
            } catch (Exception e) {
                return false;
            }
        });
    }

    private void tools() throws Exception {
        String ofGroup = " -p " + kit.topic + " -g " + kit.group;
        Tools.prints("getBrokerLiteInfo -d -b " + address(), kit.group, "\"" + kit.topic + "\":-1");
        Tools.prints("getParentTopicInfo -p " + kit.topic, "broker-a +-1 +2 +2 .*" + kit.group);
        Tools.prints("getLiteTopicInfo -s -p " + kit.topic + " -l a", "broker-a +0 +40 ", "c1");
        Tools.prints("getLiteClientInfo -s" + ofGroup + " -c c1", "broker-a +2 ",
            "%LMQ%\\$" + kit.topic + "\\$a");
        Tools.prints("getLiteGroupInfo" + ofGroup, "Total Lag Count: 40", "1 +[ab] +20 ");
        Tools.prints("getLiteGroupInfo" + ofGroup + " -l a", "broker-a +40 +20 +20 ");
        Tools.prints("triggerLiteDispatch" + ofGroup + " -c c1", "broker-a +dispatched");
    }

    /** An exclusive lite topic has one client: the second one that subscribes. */
    private void takeOver() throws Exception {
        subscribe("PARTIAL_ADD", "x1", exclusive, "a");
        subscribe("PARTIAL_ADD", "x2", exclusive, "a");
        Check.within(20_000, "the second client's messages", () -> {
            try {
                return pop("x2", exclusive, 32, 60_000).getCode() == 0;
            } catch (Exception e) {
                throw new IllegalStateException(e);
            }
        });
        Check.same(PopKit.POLLING_TIMEOUT, pop("x1", exclusive, 32, 60_000).getCode(),
            "answer to the first client");
    }
}

package ringmq.conformance;

import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.ConcurrentHashMap;
import java.util.regex.Pattern;
import org.apache.rocketmq.client.consumer.DefaultMQPullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/**
 * What mqadmin shows of consumers and producers and does for them: progress, connections, what a
 * consumer is doing, a message consumed directly (a dead letter too), groups made, suspended,
 * copied and deleted.
 */
final class ConsumerTools implements Scenario {
    private static final int COUNT = 24;
    private final Map<String, AtomicInteger> tries = new ConcurrentHashMap<>();
    private final AtomicBoolean fails = new AtomicBoolean();
    private final Map<String, SendResult> sent = new TreeMap<>();
    private Kit kit;
    private DefaultMQProducer producer;
    private List<MessageQueue> queues;
    private DefaultMQPushConsumer consumer;

    @Override
    public void run(Kit kit) throws Exception {
        this.kit = kit;
        producer = kit.producer();
        queues = kit.createTopic(producer);
        for (int i = 0; i < COUNT; i++) {
            send("n" + i, i);
        }
        consumer = kit.pushConsumer(kit.group);
        consumer.setMaxReconsumeTimes(0);
        consumer.setPersistConsumerOffsetInterval(1_000);
        consumer.subscribe(kit.topic, "tag");
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            messages.forEach(message -> tries.computeIfAbsent(
                message.getUserProperty(Received.ID), id -> new AtomicInteger())
                .incrementAndGet());
            return fails.get() ? ConsumeConcurrentlyStatus.RECONSUME_LATER
                : ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
        Check.within(60_000, "everything is consumed", () -> tries.size() >= COUNT);
        Thread.sleep(2_500); // its offsets are committed
        connections();
        progress();
        runningInfo();
        byId();
        messages();
        groups();
        deadLetter();
        consumer.shutdown();
    }

    private void send(String id, int nth) throws Exception {
        sent.put(id, producer.send(Letters.message(kit.topic, id, "key-" + id,
            Letters.body(id, false)), queues.get(nth % queues.size())));
    }

    private void connections() throws Exception {
        String client = Pattern.quote(clientId());
        Tools.prints("consumerConnection -g " + kit.group, client + "\\s+127\\.0\\.0\\.1:\\d+\\s+JAVA",
            kit.topic + "\\s+tag", "%RETRY%" + kit.group + "\\s+\\*",
            "ConsumeType: CONSUME_PASSIVELY", "MessageModel: CLUSTERING",
            "ConsumeFromWhere: CONSUME_FROM_FIRST_OFFSET");
        Tools.prints("producerConnection -g " + producer.getProducerGroup() + " -t " + kit.topic,
            "127\\.0\\.0\\.1:\\d+\\s+JAVA");
    }

    private String clientId() {
        return consumer.getDefaultMQPushConsumerImpl().getmQClientFactory().getClientId();
    }

    private void progress() throws Exception {
        MessageQueue queue = queues.get(0);
        Tools.prints("consumerProgress -g " + kit.group, kit.topic + "\\s+"
            + queue.getBrokerName() + "\\s+" + queue.getQueueId() + "\\s+\\d+\\s+\\d+\\s+0\\s+0",
            "Consume TPS: \\d", "Consume Diff Total: 0", "Consume Inflight Total: 0");
        Tools.prints("topicStatus -t " + kit.topic, queue.getBrokerName() + "\\s+"
            + queue.getQueueId() + "\\s+0\\s+[1-9]");
        rates();
    }

    /**
     * A sample is taken every ten seconds, so the numbers of a minute are there soon after. On a
     * busy machine one command of the tools may take that minute: messages come all the while.
     */
    private void rates() throws Exception {
        String number = "[\\d.]*[1-9][\\d.]*";
        AtomicBoolean goesOn = new AtomicBoolean(true);
        Thread sender = new Thread(() -> {
            try {
                for (int i = 0; goesOn.get(); i++) {
                    send("rate-" + i, i);
                    Thread.sleep(2_000);
                }
            } catch (Exception broken) {
                System.out.println("no more messages for the rates: " + broken);
            }
        });
        sender.start();
        try {
            Thread.sleep(11_000);
            Tools.prints("statsAll -t " + kit.topic,
                kit.topic + "\\s+" + kit.group + "\\s+\\d+\\s+" + number + "\\s+" + number);
            Tools.prints("consumerProgress -g " + kit.group, "Consume TPS: " + number);
        } finally {
            goesOn.set(false);
            sender.join();
        }
    }

    private void runningInfo() throws Exception {
        Tools.prints("consumerStatus -g " + kit.group, Pattern.quote(clientId()),
            "Same subscription in the same group of consumer", "Rebalance OK");
        Tools.prints("consumerStatus -g " + kit.group + " -i " + clientId() + " -s",
            "PROP_CONSUME_TYPE\\s+: CONSUME_PASSIVELY", kit.topic, "#Consumer Properties#",
            "#Consumer MQ Detail#", "#Consumer jstack#|TID: ");
    }

    private void byId() throws Exception {
        SendResult one = sent.get("n3");
        String id = one.getOffsetMsgId();
        Tools.prints("queryMsgById -t " + kit.topic + " -i " + id,
            "OffsetID:\\s+" + id, "Topic:\\s+" + kit.topic, "Tags:\\s+\\[tag]",
            "Queue ID:\\s+" + one.getMessageQueue().getQueueId(),
            "consumerGroup=" + kit.group + ", trackType=CONSUMED|consumed");
        Tools.prints("queryMsgById -t " + kit.topic + " -i " + id + " -g " + kit.group + " -d "
            + clientId(), "consumeResult=CR_SUCCESS");
        Check.same(2, tries.get("n3").get(), "times that n3 was handled");
    }

    private void messages() throws Exception {
        Tools.prints("sendMessage -t " + kit.topic + " -p by-a-tool -k tool-key -c other",
            "SEND_OK");
        Tools.prints("checkMsgSendRT -t " + kit.topic + " -a 5 -s 64", "Avg RT: \\d");
        MessageQueue queue = queues.get(1);
        Tools.prints("consumeMessage -t " + kit.topic + " -b " + queue.getBrokerName() + " -i "
            + queue.getQueueId() + " -o 0 -c 1", "MSGID: \\w+", "by|body|n1|first|Consume ok");
    }

    private void groups() throws Exception {
        String copy = kit.group + "_copy";
        Tools.prints("updateSubGroup -c DefaultCluster -g " + copy + " -q 2 -r 5",
            "create subscription group to \\S+ success");
        Tools.prints("getConsumerConfig -g " + copy, "retryQueueNums\\s*=  2",
            "retryMaxTimes\\s*=  5", "consumeEnable\\s*=  true");
        // The tool finds the brokers of a group by its retry topic, which a heartbeat makes.
        DefaultMQPushConsumer once = kit.pushConsumer(copy);
        once.subscribe(kit.topic, "none-of-these");
        once.registerMessageListener((MessageListenerConcurrently) (messages, context) ->
            ConsumeConcurrentlyStatus.CONSUME_SUCCESS);
        once.start();
        Check.within(20_000, "the retry topic of " + copy, () ->
            Kit.route(producer, "%RETRY%" + copy).size() >= 2);
        once.shutdown();
        Tools.prints("cloneGroupOffset -s " + kit.group + " -d " + copy + " -t " + kit.topic
            + " -o true", "clone group offset success");
        DefaultMQPullConsumer of = kit.pullConsumer(copy);
        for (MessageQueue queue : queues) {
            long offset = of.fetchConsumeOffset(queue, false);
            Check.that(offset >= COUNT / queues.size(), copy + " is at " + offset + " in " + queue);
        }
        Tools.prints("updateSubGroup -c DefaultCluster -g " + copy + " -s false", "success");
        Thread.sleep(500);
        try {
            of.pull(queues.get(0), "*", 0, 1);
            throw new Check.Failed("a suspended group has pulled");
        } catch (org.apache.rocketmq.client.exception.MQBrokerException e) {
            Check.same(16, e.getResponseCode(), "answer to a pull of a suspended group");
        }
        for (String address : Kit.brokers().values()) {
            Tools.prints("deleteSubGroup -b " + address + " -g " + copy + " -r true",
                "delete subscription group \\[" + copy + "] from broker \\[" + address + "] success");
        }
    }

    /** A tool has a consumer handle a dead letter, and sends it once more. */
    private void deadLetter() throws Exception {
        fails.set(true);
        send("dead", 0);
        String topic = "%DLQ%" + kit.group;
        DefaultMQPullConsumer reader = kit.pullConsumer(kit.group + "_reader");
        Map<String, MessageExt> dead = new TreeMap<>();
        Check.within(60_000, "a dead letter", () ->
            Letters.read(producer, reader, topic, dead) >= 1);
        fails.set(false);
        int before = tries.get("dead").get();
        MessageExt letter = dead.get("dead");
        String id = org.apache.rocketmq.common.message.MessageDecoder.createMessageId(
            letter.getStoreHost(), letter.getCommitLogOffset());
        Tools.prints("queryMsgById -t " + topic + " -i " + id + " -g " + kit.group + " -d "
            + clientId(), "consumeResult=CR_SUCCESS");
        Check.same(before + 1, tries.get("dead").get(), "times that the dead letter was handled");
        Tools.prints("queryMsgById -t " + topic + " -i " + id + " -s true",
            "prepare resend msg. originalMsgId=" + id, "SEND_OK");
        Check.within(10_000, "the copy that the tool has sent", () ->
            Letters.read(producer, reader, topic, new TreeMap<>()) == 2);
    }
}

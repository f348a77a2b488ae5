package ringmq.conformance;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.regex.Pattern;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageQueue;

/**
 * Apache's own mqadmin, asked for the state of the cluster: brokerStatus prints every key of
 * GET_BROKER_RUNTIME_INFO, clusterList reads some of them as numbers. Each key of the original
 * must be there, each value of the original's form; what the values say is checked where it is
 * the same for any broker.
 */
final class RuntimeInfo implements Scenario {
    private static final int MESSAGES = 60;
    private static final String NUMBER = "-?\\d+";
    private static final String COUNT = "\\d+";
    private static final String DECIMAL = "-?\\d+\\.\\d+(E-?\\d+)?";
    private static final String RATIO = "0\\.\\d{1,2}|1\\.0|-1\\.0";
    /** Over 10, 60 and 600 s; empty until so many seconds have gone by. */
    private static final String RATES = "(D)? (D)? (D)?".replace("D", DECIMAL);
    private static final String SIZE = "\\d+ B|\\d+\\.\\d [KMGTPE]iB";
    private static final String PUT_TIMES = "null|\\[<=0ms]:N \\[0~10ms]:N "
        .concat("\\[10~50ms]:N \\[50~100ms]:N ")
        .concat("\\[100~200ms]:N \\[200~500ms]:N \\[500ms~1s]:N \\[1~2s]:N \\[2~3s]:N \\[3~4s]:N ")
        .concat("\\[4~5s]:N \\[5~10s]:N \\[10s~]:N ?").replace("N", COUNT);
    private static final Map<String, String> FORMS = new TreeMap<>();

    static {
        form(COUNT, "bootTimestamp", "putMessageEntireTimeMax", "putMessageTimesTotal",
            "putMessageFailedTimes", "putMessageSizeTotal", "dispatchMaxBuffer",
            "getMessageEntireTimeMax", "commitLogMinOffset", "commitLogMaxOffset",
            "msgPutTotalYesterdayMorning", "msgPutTotalTodayMorning", "msgPutTotalTodayNow",
            "msgGetTotalYesterdayMorning", "msgGetTotalTodayMorning", "msgGetTotalTodayNow",
            "dispatchBehindBytes", "pageCacheLockTimeMills", "startAcceptSendRequestTimeStamp",
            "remainTransientStoreBufferNumbs", "EndTransactionQueueSize",
            "EndTransactionThreadPoolQueueCapacity");
        form(NUMBER, "earliestMessageTimeStamp", "timerReadBehind", "timerOffsetBehind",
            "timerCongestNum");
        for (String pool : List.of("send", "pull", "litePull", "query", "ack")) {
            form(COUNT, pool + "ThreadPoolQueueSize", pool + "ThreadPoolQueueCapacity",
                pool + "ThreadPoolQueueHeadWaitTimeMills");
        }
        form(DECIMAL, "putMessageAverageSize", "timerEnqueueTps", "timerDequeueTps");
        form("\\d+\\.\\d{2}", "putLatency99", "putLatency999");
        form(RATES, "putTps", "getFoundTps", "getMissTps", "getTotalTps", "getTransferredTps");
        form(RATIO, "commitLogDiskRatio", "commitLogDiskRatio_PATH", "consumeQueueDiskRatio");
        form("\\[ [\\d,]+ days, \\d+ hours, \\d+ minutes, \\d+ seconds ]", "runtime");
        form(PUT_TIMES, "putMessageDistributeTime");
        form("true", "brokerActive");
        form("V\\d+_\\d+_\\d+", "brokerVersionDesc");
        form(SIZE, "remainHowManyDataToFlush");
        form("Total : (SIZE), Free : (SIZE)\\.".replace("SIZE", SIZE), "commitLogDirCapacity");
    }

    private static void form(String form, String... keys) {
        for (String key : keys) {
            FORMS.put(key, form);
        }
    }

    @Override
    public void run(Kit kit) throws Exception {
        DefaultMQProducer producer = kit.producer();
        List<MessageQueue> queues = kit.createTopic(producer);
        Map<String, Integer> sent = new TreeMap<>();
        for (int i = 0; i < MESSAGES; i++) {
            Message message = new Message(kit.topic, "t", ("n" + i).getBytes());
            MessageQueue queue = queues.get(i % queues.size());
            producer.send(message, queue);
            sent.merge(queue.getBrokerName(), 1, Integer::sum);
        }
        Thread.sleep(12_000); // more than the first of the three times that rates are told for
        for (Map.Entry<String, String> broker : Kit.brokers().entrySet()) {
            brokerStatus(broker.getKey(), broker.getValue(), sent.get(broker.getKey()));
        }
        clusterList();
        clusterListMore();
    }

    private static void brokerStatus(String name, String address, int sent) throws Exception {
        Map<String, String> table = new TreeMap<>();
        for (String line : mqadmin("brokerStatus -b " + address)) {
            int colon = line.indexOf(": ");
            String key = colon < 0 ? "" : line.substring(0, colon).trim();
            if (key.matches("[A-Za-z0-9_]+(_/.*)?")) {
                table.put(key, line.substring(colon + 2));
            }
        }
        List<String> wrong = wrong(table);
        Check.that(wrong.isEmpty(), wrong.size() + " keys of " + name + ": "
            + String.join("; ", wrong));
        long now = System.currentTimeMillis();
        long boot = Long.parseLong(table.get("bootTimestamp"));
        Check.between(now - 3_600_000, now, boot, "bootTimestamp");
        Check.between(1, now, Long.parseLong(table.get("earliestMessageTimeStamp")),
            "earliestMessageTimeStamp");
        for (String counted : List.of("putMessageTimesTotal", "msgPutTotalTodayNow")) {
            Check.between(sent, Long.MAX_VALUE, Long.parseLong(table.get(counted)), counted);
        }
        Check.between(sent * 100L, Long.MAX_VALUE, Long.parseLong(table.get("commitLogMaxOffset")),
            "commitLogMaxOffset");
        Check.that(!table.get("putTps").startsWith(" "), "putTps of the last 10 s: "
            + table.get("putTps"));
        Runner.note(name + " has " + table.size() + " keys");
    }

    /** Keys that miss, and values not of their form; a key that the original has not is allowed. */
    private static List<String> wrong(Map<String, String> table) {
        List<String> wrong = new ArrayList<>();
        Map<String, String> known = new TreeMap<>();
        table.forEach((key, value) -> known.put(key.replaceAll("_/.*", "_PATH"), value));
        for (Map.Entry<String, String> form : FORMS.entrySet()) {
            String value = known.get(form.getKey());
            if (value == null) {
                wrong.add(form.getKey() + " is missing");
            } else if (!Pattern.matches(form.getValue(), value)) {
                wrong.add(form.getKey() + " is '" + value + "'");
            }
        }
        known.keySet().stream().filter(key -> key.startsWith("scheduleMessageOffset_"))
            .filter(key -> !known.get(key).matches("\\d+,\\d+"))
            .forEach(key -> wrong.add(key + " is '" + known.get(key) + "'"));
        known.keySet().removeIf(key -> FORMS.containsKey(key)
            || key.startsWith("scheduleMessageOffset_"));
        if (!known.isEmpty()) {
            Runner.note("keys without a known form: " + known);
        }
        return wrong;
    }

    private static void clusterList() throws Exception {
        String rate = "\\d+\\.\\d{2}\\(\\d+,\\d+ms\\)";
        String rates = "\\d+\\.\\d{2}\\(\\d+,\\d+ms\\|(\\d+|N),(\\d+|N)ms\\)";
        String timer = "-?\\d+--?\\d+\\(\\d+\\.\\dw, \\d+\\.\\d, \\d+\\.\\d\\)";
        rows(mqadmin("clusterList"), " +0 +ADDRESS +V[\\w]+ +" + rate + " +" + rates + " +" + timer
            + " +\\d+ +\\d+\\.\\d{2} +[01]\\.\\d{4} +true");
    }

    private static void clusterListMore() throws Exception {
        rows(mqadmin("clusterList -m"), " +0 +0 +[1-9]\\d* +\\d+");
    }

    /** Each broker has one row of this form. */
    private static void rows(List<String> printed, String form) {
        for (Map.Entry<String, String> broker : Kit.brokers().entrySet()) {
            Pattern row = Pattern.compile("DefaultCluster +" + broker.getKey()
                + form.replace("ADDRESS", Pattern.quote(broker.getValue())) + " *");
            long found = printed.stream().filter(line -> row.matcher(line).matches()).count();
            Check.same(1L, found, "rows of " + broker.getKey() + " as /" + row + "/ in " + printed);
        }
    }

    private static List<String> mqadmin(String command) throws Exception {
        return List.of(Runner.ask("mqadmin " + command).split("\u001e"));
    }
}

package ringmq.conformance;

import java.util.Map;
import java.util.TreeMap;

/**
 * One scenario in one JVM: {@code Main SCENARIO NAMESRV RUN}; exits 0 for a pass, 1 for a failure
 * with the reason on @FAIL.
 */
public final class Main {
    private static final Map<String, Scenario> SCENARIOS = new TreeMap<>(Map.of(
        "send", new SendKinds(),
        "push", new PushExactlyOnce(),
        "pull", new PullOffsets(),
        "lite-pull", new LitePull(),
        "broker-restart", new BrokerRestart(),
        "join-leave", new JoinLeave(),
        "long-poll", new LongPolling(),
        "shards", new Shards(),
        "namesrv-loss", new NamesrvLoss(),
        "broadcast", new Broadcast()));

    static {
        SCENARIOS.put("orderly", new Orderly(false));
        SCENARIOS.put("orderly-kill", new Orderly(true));
        SCENARIOS.put("query", new QueryByKey());
        SCENARIOS.put("native", new NativeProtocol());
        SCENARIOS.put("drop-in", new DropIn(false));
        SCENARIOS.put("fixture", new DropIn(true));
        SCENARIOS.put("delayed-drop-in", new DelayedDropIn());
        SCENARIOS.put("new-group", new NewGroup());
        SCENARIOS.put("dead-letters", new DeadLetters());
        SCENARIOS.put("delays", new Delays());
        SCENARIOS.put("retries", new Retries());
        SCENARIOS.put("timers", new Timers());
        SCENARIOS.put("recall", new Recall());
        SCENARIOS.put("pop-api", new PopApi());
        SCENARIOS.put("pop-lite", new PopLite());
        SCENARIOS.put("pop-push", new PopPush());
        SCENARIOS.put("pop-drop-in", new PopDropIn());
        SCENARIOS.put("pop-changes", new PopChanges());
        SCENARIOS.put("pop-kill", new PopKill());
        SCENARIOS.put("pop-victim", new PopKill.Victim());
        SCENARIOS.put("timer-drop-in", new TimerDropIn());
        SCENARIOS.put("sql-filter", new SqlFilters());
        SCENARIOS.put("runtime-info", new RuntimeInfo());
        SCENARIOS.put("placement", new Placement());
        SCENARIOS.put("transactions", new Transactions());
        SCENARIOS.put("transactions-drop-in", new TransactionsDropIn());
        SCENARIOS.put("apache-slave", new Replication("ringmq", "apache"));
        SCENARIOS.put("ringmq-slave", new Replication("apache", "ringmq"));
        SCENARIOS.put("migration", new Migration());
        SCENARIOS.put("request-reply", new RequestReply());
        SCENARIOS.put("trace", new Trace());
        SCENARIOS.put("reset-offset", new ResetOffset());
        SCENARIOS.put("consumer-tools", new ConsumerTools());
        SCENARIOS.put("slow-consumer", new SlowConsumer());
        SCENARIOS.put("capture", new CaptureTour());
    }

    private Main() {
    }

    public static void main(String[] args) {
        if (args.length != 3 || !SCENARIOS.containsKey(args[0])) {
            System.err.println("usage: Main SCENARIO NAMESRV RUN, SCENARIO one of "
                + SCENARIOS.keySet());
            System.exit(2);
        }
        int exit = 0;
        try (Kit kit = new Kit(args[1], args[2])) {
            SCENARIOS.get(args[0]).run(kit);
        } catch (Check.Failed e) {
            Runner.say("@FAIL " + e.getMessage());
            exit = 1;
        } catch (Throwable e) {
            e.printStackTrace();
            Runner.say("@FAIL " + e.toString().replace('\n', ' '));
            exit = 1;
        }
        System.exit(exit); // client threads that outlive shutdown must not keep the JVM
    }
}

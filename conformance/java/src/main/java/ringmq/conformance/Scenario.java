package ringmq.conformance;

/**
 * One thing a user of RocketMQ relies on, told as a program; it throws when the servers do not hold
 * to it.
 */
interface Scenario {
    void run(Kit kit) throws Exception;
}

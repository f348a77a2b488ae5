'use strict';
// The Node client's program: see ../README.md for its verbs, orders and events.

const { once } = require('events');
const readline = require('readline');
const { Consumer, Message, Producer } = require('ali-ons');

const tell = event => process.stdout.write(JSON.stringify(event) + '\n');
// The client warns through console.warn and writes to standard error by itself.
const logger = { debug() {}, info() {}, warn: console.error, error: console.error };

function common(setup) {
  // It insists on an HTTP client for finding name servers, and does not use it when told them.
  return { nameSrv: setup.namesrv.split(';'), httpclient: {}, logger };
}

function build(topic, { body, tag, delay, properties, order }) {
  const message = new Message(topic, tag || null, body);
  if (delay) message.delayTimeLevel = delay;
  if (order) message.shardingKey = order;
  Object.assign(message.properties, properties);
  return message;
}

async function produce(setup) {
  const producer = new Producer({ ...common(setup), producerGroup: setup.group });
  producer.on('error', error => console.error(error));
  await producer.ready();
  tell({ event: 'ready' });
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const { messages } = JSON.parse(line);
    const bodies = messages.map(message => message.body);
    try {
      const { sendStatus } = await producer.send(build(setup.topic, messages[0]));
      if (sendStatus !== 'SEND_OK') throw new Error(sendStatus);
      tell({ event: 'sent', bodies });
    } catch (error) {
      tell({ event: 'failed', bodies, why: error.message });
    }
  }
  await producer.close();
}

async function consume(setup) {
  const consumer = new Consumer({
    ...common(setup),
    consumerGroup: setup.group,
    consumeFromWhere: 'CONSUME_FROM_FIRST_OFFSET',
    maxReconsumeTimes: setup.attempts_max < 0 ? 16 : setup.attempts_max,
  });
  consumer.on('error', error => console.error(error));
  const filter = setup.sql ? { expressionType: 'SQL92', subString: setup.sql } : setup.tags;
  consumer.subscribe(setup.topic, filter, async (message, queue) => {
    const attempt = message.reconsumeTimes;
    tell({
      event: 'received', body: message.body.toString(), attempt, tag: message.tags || '',
      queue: message.queueId, broker: queue ? queue.brokerName : '', at_ms: Date.now(),
      from: message.properties.RETRY_TOPIC || '',
    });
    // The client loses ACTION_RETRY of a message that has come again, but not an error.
    if (attempt < setup.fail_until) throw new Error(`attempt ${attempt} shall fail`);
  });
  await consumer.ready();
  tell({ event: 'ready' });
  process.stdin.resume();
  await once(process.stdin, 'end');
  await consumer.close();
}

const verbs = { produce, consume };
verbs[process.argv[2]](JSON.parse(process.argv[3])).then(
  () => {
    tell({ event: 'stopped' });
    process.exit(0);
  },
  error => {
    tell({ event: 'broken', why: error.stack });
    process.exit(1);
  },
);

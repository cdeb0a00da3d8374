import { unknownVariables } from './unknown-variables.js';
import { variables } from './variables.js';

describe('variables that look like settings', () => {
  it.each([
    ['RATE_LIMITS', 'RATE_LIMIT'],
    ['RATE_LIMIT_USERS', 'RATE_LIMIT_USER'],
    ['REDIS_URI', 'REDIS_URL'],
    ['redis_url', 'REDIS_URL'],
    ['BRODCAST_TRANSPORT', 'BROADCAST_TRANSPORT'],
    ['BROADCAST_TRANSPRT', 'BROADCAST_TRANSPORT'],
    ['AUTH_JWT_SECRETS', 'AUTH_JWT_SECRET'],
    ['AUTH_JWT_AUD', 'AUTH_JWT_AUDIENCE'],
    ['HISTORY_LENGTH', 'HISTORY_SIZE or HISTORY_TTL'],
    ['API_KEY', 'API_KEYS'],
    ['TRUST_PROXYS', 'TRUST_PROXY'],
    ['CORS_ORIGIN', 'CORS_ORIGINS'],
  ])('%s: was %s meant?', (name, meant) => {
    expect(unknownVariables({ [name]: '1', PATH: '/bin' })).toEqual([
      `${name} is not a setting, and changes nothing: did you mean ${meant}?`,
    ]);
  });

  it('are not those of others, nor settings', () => {
    const others = [
      'PATH',
      'HOME',
      'HOSTNAME',
      'POST',
      'PORTS',
      'PWD',
      'LANG',
      'TERM',
      'SHLVL',
      'USER',
      'NODE_OPTIONS',
    ];
    const programs = ['REDIS_PASSWORD', 'REDIS_HOST', 'RABBITMQ_PORT', 'LOG_DIR', 'NODE_VERSION', 'KUBERNETES_PORT'];
    const more = ['YARN_VERSION', 'HISTSIZE', 'HISTFILE', 'OLDPWD', 'CI', 'NODE_EXTRA_CA_CERTS', 'OTEL_LOG_LEVEL'];
    const names = [...others, ...programs, ...more, ...Object.keys(variables)];
    expect(unknownVariables(Object.fromEntries(names.map((name) => [name, '1'])))).toEqual([]);
  });
});

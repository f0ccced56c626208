// Ruby, PHP and Perl.

import type { Tool } from '../tool.js'

const RUBY: readonly Tool[] = [
  {
    id: 'ruby-net-http',
    name: 'Ruby Net::HTTP',
    does: 'GET',
    version: 'ruby --version',
    from: { debian: 'ruby' },
    work: ({ url }) => ({ script: `ruby -r net/http -e 'puts Net::HTTP.get(URI("${url}/hello"))'` }),
  },
  {
    id: 'ruby-open-uri',
    name: 'Ruby open-uri',
    does: 'GET',
    version: 'ruby --version',
    from: { debian: 'ruby' },
    work: ({ url }) => ({ script: `ruby -r open-uri -e 'puts URI.open("${url}/hello").read'` }),
  },
  {
    id: 'ruby-gem',
    name: 'gem',
    does: 'installs a gem',
    version: 'gem --version',
    from: { debian: 'ruby' },
    work: ({ url }) => ({
      script: `gem install matrix-gem --clear-sources --source ${url}/gems/ --install-dir gems --no-document
cat gems/gems/matrix-gem-1.0.0/lib/matrix-gem.rb`,
    }),
  },
  {
    id: 'ruby-bundler',
    name: 'bundler',
    does: 'installs a gem',
    version: 'bundle --version',
    from: { debian: 'ruby-bundler' },
    work: ({ url }) => ({
      files: { Gemfile: `source '${url}/gems/'\ngem 'matrix-gem'\n` },
      script: `export BUNDLE_PATH="$PWD/bundle" BUNDLE_RETRY=0 BUNDLE_SILENCE_ROOT_WARNING=1
bundle install
cat "$(bundle exec gem which matrix-gem)"`,
    }),
  },
]

const PHP: readonly Tool[] = [
  {
    id: 'php-curl',
    name: 'PHP curl',
    does: 'GET',
    version: `php -r 'exit(extension_loaded("curl") ? 0 : 1);' && php --version`,
    from: { debian: 'php-cli php-curl' },
    work: ({ url }) => ({
      script: `php -r '$curl = curl_init("${url}/hello"); curl_exec($curl) || fwrite(STDERR, curl_error($curl)) && exit(1);'`,
    }),
  },
  {
    id: 'php-streams',
    name: 'PHP file_get_contents()',
    does: 'GET',
    version: 'php --version',
    from: { debian: 'php-cli' },
    work: ({ url }) => ({ script: `php -r 'echo file_get_contents("${url}/hello");'` }),
    impossible: {
      reason: 'streams read no variable for a proxy',
      needs: 'a stream context in the code, or the curl extension',
    },
  },
  {
    id: 'composer',
    name: 'composer',
    does: 'requires a package',
    version: 'composer --version --no-ansi',
    from: { debian: 'composer' },
    work: ({ url }) => ({
      files: {
        'composer.json': JSON.stringify({
          repositories: [{ type: 'composer', url: `${url}/composer` }, { 'packagist.org': false }],
        }),
      },
      script: `export COMPOSER_ALLOW_SUPERUSER=1 COMPOSER_HOME="$PWD/home"
composer require --no-interaction matrix/package
cat vendor/matrix/package/word`,
    }),
  },
]

const PERL: readonly Tool[] = [
  {
    id: 'perl-lwp',
    name: 'Perl LWP',
    does: 'GET',
    version: `perl -MLWP -MLWP::Protocol::https -e 'print LWP->VERSION'`,
    from: { debian: 'libwww-perl liblwp-protocol-https-perl' },
    work: ({ url }) => ({
      files: {
        'client.pl': `use LWP::UserAgent;
my $response = LWP::UserAgent->new->get('${url}/hello');
die $response->status_line unless $response->is_success;
print $response->content;`,
      },
      script: 'perl client.pl',
    }),
  },
]

export const SCRIPTING_TOOLS: readonly Tool[] = [...RUBY, ...PHP, ...PERL]

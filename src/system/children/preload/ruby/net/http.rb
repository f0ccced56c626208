# frozen_string_literal: true

# RUBYLIB puts this file in front of Ruby's own net/http. Net::HTTP looks for the proxy of an http address even when it
# speaks https, so that https_proxy means nothing to it. This file loads the real net/http and makes an https connection
# ask for the proxy of an https address; no_proxy is heeded as it always is. A program that never loads net/http runs
# nothing of this.

require_relative '../ccr_upstream_proxy/original'
CcrUpstreamProxy.require_original('net/http')

module CcrUpstreamProxy
  # Over Net::HTTP.
  module HttpsProxy
    # The original takes address and port as they are, and remembers the answer; so does this.
    def proxy_uri
      return super unless use_ssl?

      if @https_proxy_uri.nil?
        uri = URI::HTTPS.new('https', nil, address, port, nil, nil, nil, nil, nil)
        @https_proxy_uri = uri.find_proxy || false
      end
      @https_proxy_uri || nil
    rescue StandardError
      super
    end
  end

  # Over Net::HTTP.new. Bundler's copy of net-http-persistent looks at http_proxy by itself, and where there is none it
  # asks for no proxy at all: it is taken for what it means, a proxy as the environment has it.
  module BundlerProxy
    COPY = '/bundler/vendor/net-http-persistent/'
    private_constant :COPY

    def new(*arguments)
      return super unless arguments.length > 2 && arguments[2].nil?

      from_bundler = caller_locations(1, 4).any? { |location| location.path.include?(COPY) }
      from_bundler ? super(*arguments.first(2)) : super
    end
  end
end

if defined?(Net::HTTP) && Net::HTTP.method_defined?(:proxy_uri)
  Net::HTTP.prepend(CcrUpstreamProxy::HttpsProxy)
  Net::HTTP.singleton_class.prepend(CcrUpstreamProxy::BundlerProxy)
end

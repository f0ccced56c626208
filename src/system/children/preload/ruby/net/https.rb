# frozen_string_literal: true

# Ruby's own net/https, which bundler loads, comes to the real net/http by its path, past ours.

require 'net/http'
require_relative '../ccr_upstream_proxy/original'
CcrUpstreamProxy.require_original('net/https')

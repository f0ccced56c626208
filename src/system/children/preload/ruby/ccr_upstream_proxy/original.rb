# frozen_string_literal: true

# Loads what this folder stands in front of, wherever Ruby would have found it: in a gem, in a folder of the program's, in
# its own library.

module CcrUpstreamProxy
  FOLDER = File.realpath(File.join(__dir__, '..'))
  private_constant :FOLDER

  def self.require_original(feature)
    hidden = $LOAD_PATH.each_with_index.select { |entry, _| own?(entry) }
    hidden.reverse_each { |_, index| $LOAD_PATH.delete_at(index) }
    require feature
  ensure
    hidden.each { |entry, index| $LOAD_PATH.insert([index, $LOAD_PATH.length].min, entry) }
  end

  def self.own?(entry)
    File.realpath(entry.to_s) == FOLDER
  rescue SystemCallError
    false
  end
  private_class_method :own?
end

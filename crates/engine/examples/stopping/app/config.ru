$stdout.sync = true
puts "up"
run(lambda do |_env|
  puts "begun"
  sleep 3
  puts "finished"
  [200, { "content-length" => "8" }, ["finished"]]
end)

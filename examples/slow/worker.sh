# Does nothing for as long as it is let.
trap 'exit 0' TERM
echo "$DYNO waits for jobs"
while :; do
  sleep 1 &
  wait $!
done

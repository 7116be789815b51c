# A listener for strangers: TLS, a password, and rights that somebody has to give.
# Sourced by broker.sh; defines functions and runs nothing.
#
# The listener CLIENT stays as it is, and whoever comes by it may do everything: tests set up what they
# need there. SECURE wants SASL over TLS, with PLAIN or SCRAM, and allows nothing at first.
#
#   DIR/secure-bootstrap       the address of the listener SECURE
#   DIR/certificates/ca.pem    who signed the broker's certificate
#
# Every user's password is the user's name with `-password` behind it.

secure_users=(barometer onlooker newcomer operator)
# What keeps the keystores from being read. They live as long as the test.
store_password=throw-away

keytool_command() {
  local java
  java=$(readlink -f "$(java_command)")
  if [ -x "$(dirname "$java")/keytool" ]; then echo "$(dirname "$java")/keytool"; else command -v keytool; fi
}

# A certificate authority of this run's own, and a broker's certificate by it, in the folder $1.
make_certificates() {
  local keytool
  keytool=$(keytool_command) || fail "the JVM has no \`keytool\` beside it"
  rm -rf "$1"
  mkdir -p "$1"
  (
    cd "$1"
    tool() { "$keytool" "$@" -storepass "$store_password" </dev/null >>keytool.log 2>&1; }
    # Elliptic curves: an RSA key takes seconds to find.
    tool -genkeypair -alias ca -dname CN=barometer-test-ca -keyalg EC -groupname secp256r1 \
      -validity 2 -ext bc:critical=ca:true -ext ku:critical=keyCertSign -keystore ca.p12
    tool -exportcert -alias ca -rfc -file ca.pem -keystore ca.p12
    tool -genkeypair -alias broker -dname CN=localhost -keyalg EC -groupname secp256r1 \
      -validity 2 -keystore broker.p12
    tool -certreq -alias broker -file broker.csr -keystore broker.p12
    tool -gencert -alias ca -infile broker.csr -outfile broker.pem -rfc -validity 2 \
      -ext san=ip:127.0.0.1,dns:localhost -keystore ca.p12
    tool -importcert -noprompt -alias ca -file ca.pem -keystore broker.p12
    tool -importcert -noprompt -alias broker -file broker.pem -keystore broker.p12
  ) || {
    cat "$1/keytool.log" >&2
    fail "no certificates could be made, keytool's own message is above"
  }
}

# What a broker's settings say beside those without security; the last word on a key is the one that
# counts. Arguments: the ports of CLIENT, CONTROLLER and SECURE.
secure_settings() {
  local user plain="org.apache.kafka.common.security.plain.PlainLoginModule required"
  for user in "${secure_users[@]}"; do plain+=" user_$user=\"$user-password\""; done
  cat <<END

listeners=CLIENT://127.0.0.1:$1,CONTROLLER://127.0.0.1:$2,SECURE://127.0.0.1:$3
advertised.listeners=CLIENT://127.0.0.1:$1,SECURE://127.0.0.1:$3
listener.security.protocol.map=CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURE:SASL_SSL
listener.name.secure.ssl.keystore.location=$dir/certificates/broker.p12
listener.name.secure.ssl.keystore.type=PKCS12
listener.name.secure.ssl.keystore.password=$store_password
listener.name.secure.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
listener.name.secure.plain.sasl.jaas.config=$plain;
listener.name.secure.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.secure.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
END
}

# What the storage is formatted with: SCRAM's users are kept in the cluster's own records.
secure_format_arguments() {
  local user kind
  for user in "${secure_users[@]}"; do
    for kind in 256 512; do
      printf '%s\n' --add-scram "SCRAM-SHA-$kind=[name=$user,password=$user-password]"
    done
  done
}

// Prints the answer of a URL, and with which kind of key the server showed who it is: java OPTION... TlsClient.java URL

import java.net.URL;
import javax.net.ssl.HttpsURLConnection;

public class TlsClient {
  public static void main(String[] arguments) throws Exception {
    HttpsURLConnection connection = (HttpsURLConnection) new URL(arguments[0]).openConnection();
    String body = new String(connection.getInputStream().readAllBytes());
    System.out.println(connection.getServerCertificates()[0].getPublicKey().getAlgorithm() + " " + body);
  }
}
